"""Prompt-to-Prompt against explicit attention maps, and what follows from its equation."""

import pytest
import torch

from coupled.baselines import p2p
from coupled.baselines.p2p import PARTNERS, edit_model, encode_edits
from coupled.baselines.word_alignment import align
from coupled.mini.model import load_mini

from tiny import tiny_conditioning, tiny_flux, tiny_forward, tiny_latent, tiny_sample
from tiny_edits import SENTENCES, T, tiny_edits

N = 3
STEPS = 10
KEY = "optimized_attention_override"


@pytest.fixture(scope="module")
def stock():
    return tiny_flux()


def without_partners(entries):
    return [
        [context, {k: v for k, v in values.items() if k != "model_conds"}]
        for context, values in entries
    ]


def call(model, texts, step, x=None, **arguments):
    """One direct call of the model at a step index, with the texts' partners if they have any."""
    ((_, values),) = texts
    partners = {k: c.cond for k, c in values.get("model_conds", {}).items()}
    x = tiny_latent(N) if x is None else x
    return tiny_forward(model, without_partners(texts), x, step, STEPS, **partners, **arguments)


def explicit(sentences, cross, itself):
    """An attention override with the maps written out: Prompt-to-Prompt's AttentionRefine, loop by
    loop.
    """

    def maps(q, k, mask):
        logits = q.double() @ k.double().transpose(2, 3) * q.shape[-1] ** -0.5
        return (logits if mask is None else logits + mask).softmax(-1)

    def override(func, q, k, v, heads, mask=None, skip_reshape=False, **kwargs):
        assert skip_reshape
        A = maps(q, k, mask)
        edited = A.clone()
        for b in range(1, len(A)):
            for i, j in enumerate(align(sentences[0], sentences[b])):
                if cross and j is not None:
                    edited[b, :, T:, j] = A[0, :, T:, i]
            if itself:
                edited[b, :, T:, T:] = A[0, :, T:, T:]
        return (edited @ v.double()).to(v.dtype).transpose(1, 2).flatten(2)

    return override


@pytest.mark.parametrize(
    "step, cross, itself", [(0, True, True), (3.5, True, True), (4, True, False), (7, True, False)]
)
def test_equals_explicit_attention_maps(stock, step, cross, itself):
    texts = tiny_edits()
    plain = without_partners(texts)
    ours = call(edit_model(stock, 0.8, 0.4), texts, step)
    theirs = call(stock, plain, step, options={KEY: explicit(SENTENCES, cross, itself)})
    assert (ours - theirs).abs().max() < 1e-5 * theirs.std()
    assert (ours - call(stock, plain, step))[1].abs().max() > 1e-2 * theirs.std()


def test_only_the_images_part_equals_explicit_maps(stock):
    texts = tiny_edits()
    ours = call(edit_model(stock, 0.0, 0.4), texts, 0)
    theirs = call(
        stock, without_partners(texts), 0, options={KEY: explicit(SENTENCES, False, True)}
    )
    assert (ours - theirs).abs().max() < 1e-5 * theirs.std()


def test_a_mask_and_another_packs_override_stay_in_force(stock):
    """A mask that differs from row to row, and an override that takes every attention to itself."""
    mask = torch.randn(N, 1, T + 24, T + 24, generator=torch.Generator().manual_seed(3))
    texts, calls = tiny_edits(), []

    def other(func, q, *args, **kwargs):
        calls.append(q.shape)
        return func(q, *args, **kwargs)

    ours = call(edit_model(stock, 0.8, 0.4), texts, 0, options={KEY: other}, attention_mask=mask)
    literal = {KEY: explicit(SENTENCES, True, True)}
    theirs = call(stock, without_partners(texts), 0, options=literal, attention_mask=mask)
    assert (ours - theirs).abs().max() < 1e-5 * theirs.std()
    assert len(calls) == 4 * 4, "four attentions in each of four blocks, all through the other pack"


def test_after_both_shares_and_without_them_it_is_the_stock_model(stock):
    texts = tiny_edits()
    plain = without_partners(texts)
    assert torch.equal(call(edit_model(stock, 0.8, 0.4), texts, 8), call(stock, plain, 8))
    assert torch.equal(tiny_sample(edit_model(stock, 0, 0), texts), tiny_sample(stock, plain))


def test_other_conditionings_run_untouched(stock):
    plain = tiny_conditioning(T, batch=N)
    assert torch.equal(tiny_sample(edit_model(stock, 1, 1), plain), tiny_sample(stock, plain))


def test_the_same_prompt_gives_the_source(stock):
    texts = tiny_edits([SENTENCES[0]] * N, same=True)
    images = tiny_sample(edit_model(stock, 1, 1), texts, sampler_name="euler_ancestral")
    assert (images - images[:1]).abs().max() < 1e-4 * images.std()


def test_all_images_get_one_noise_in_stochastic_samplers(stock):
    """With nothing replaced the images differ by their texts alone: alike for alike texts."""
    texts = tiny_edits([SENTENCES[0]] * N, same=True)
    images = tiny_sample(edit_model(stock, 0, 0), texts, sampler_name="dpmpp_sde")
    assert torch.equal(images, images[:1].expand_as(images))


def test_the_original_model_stays_stock(stock):
    plain, before = (
        without_partners(tiny_edits()),
        tiny_sample(stock, without_partners(tiny_edits())),
    )
    tiny_sample(edit_model(stock, 1, 1), tiny_edits())
    assert torch.equal(tiny_sample(stock, plain), before) and not stock.wrappers.get(
        "diffusion_model"
    )


@pytest.mark.parametrize(
    "source, target, partners",
    [
        ("an eagle soars in a meadow", "a red fox runs in a meadow", [None, None, None, 4, 5, 6]),
        ("a b c", "a b c", [0, 1, 2]),
        ("a b", "c d", [None, None]),
        ("a cat . _ _ _", "a big cat . _ _", [0, 2, 3, 4, 5, None]),
        ("a . _ _", "a b c .", [0, 3, None, None]),
        ("", "a", []),
        ("a", "", [None]),
    ],
)
def test_words_are_aligned(source, target, partners):
    assert align(source.split(), target.split()) == partners


def test_no_alignment_is_longer():
    """On random short texts, against every choice of common words in order."""
    from itertools import combinations
    from random import Random

    random = Random(0)
    for _ in range(60):
        a, b = ([random.choice("xyz") for _ in range(random.randint(0, 6))] for _ in range(2))
        found = [(i, j) for i, j in enumerate(align(a, b)) if j is not None]
        assert all(a[i] == b[j] for i, j in found) and [j for _, j in found] == sorted(
            {j for _, j in found}
        )
        common = {k for k in range(7) for s in combinations(a, k) if s in set(combinations(b, k))}
        assert len(found) == max(common)


def test_prompts_are_encoded_at_one_length_with_their_partners():
    _, clip, _ = load_mini()
    short, long = (
        "A red fox runs in a meadow.",
        "A red fox runs in a meadow " + "under a clear blue sky " * 6,
    )
    ((context, values),) = encode_edits(clip, [short, long])
    n = len(clip.tokenize(long)["t5xxl"][0])
    assert n > 24 and context.shape[:2] == (2, n) and values["pooled_output"].shape[0] == 2
    alone = clip.encode_from_tokens(clip.tokenize(long))
    assert torch.equal(context[1:], alone)
    partners = values["model_conds"][PARTNERS].cond
    assert partners[0].tolist() == list(range(n)) and partners[1, :7].tolist() == list(range(7))
    assert (partners[1, 9:] == n).all(), "the long prompt has no padding for that of the short one"


def test_a_compiled_model_makes_the_same_images():
    """The host's Torch Compile node has torch look away from the options, where the attention of a
    call stands.
    """
    import comfy_extras.nodes_torch_compile as host_node
    from comfy_api.torch_helpers import set_torch_compile_wrapper

    model, clip, _ = load_mini()
    compiled = model.clone()
    set_torch_compile_wrapper(
        model=compiled,
        backend="eager",
        options={"guard_filter_fn": host_node.skip_torch_compile_dict},
    )
    run = {
        "prompts": ["An eagle soars in a meadow.", "A red fox runs in a meadow."],
        "seed": 1,
        "steps": 2,
        "cross_replace": 0.5,
    }
    latent = {"samples": torch.zeros(1, 16, 16, 16)}
    with torch.inference_mode():
        ours, plain = (p2p(m, clip, latent=latent, **run)["samples"] for m in (compiled, model))
    torch._dynamo.reset()
    assert torch.equal(ours, plain)


# What is refused


def test_other_families_are_refused():
    with pytest.raises(ValueError, match="works with Flux.1 only"):
        edit_model(tiny_flux(global_modulation=True, ops_bias=False, txt_ids_dims=[2]), 0.8, 0.4)


@pytest.mark.parametrize(
    "shares, words",
    [
        ((1.1, 0), "cross_replace must be a number from 0 to 1; it is 1.1"),
        ((0, float("nan")), "self_replace must be a number from 0 to 1"),
    ],
)
def test_shares_outside_0_to_1_are_refused(stock, shares, words):
    with pytest.raises(ValueError, match=words):
        edit_model(stock, *shares)


def test_a_text_encoder_without_t5_is_refused():
    class ClipL:
        def tokenize(self, text):
            return {"l": [[(1, 1.0)]]}

    with pytest.raises(ValueError, match="needs Flux's text encoder"):
        encode_edits(ClipL(), ["a", "b"])
