"""The patch beside other things of the host: CFG, other packs' patches, masks, reference latents,
ControlNet, LoRA.
"""

import comfy.sd
import pytest
import torch

from coupled.attention import couple_conditioning, select_images
from coupled.sampling import couple
from coupled.schedules import constant, sin

from compare import relative_error
from tiny import (
    tiny_conditioning,
    tiny_controlnet,
    tiny_coupled,
    tiny_flux,
    tiny_forward,
    tiny_latent,
    tiny_sample,
)

N, L_BG, L_ENT = 3, 5, 7
THETA = sin(center=1.5, k=0.8, reference_steps=4)


@pytest.fixture(scope="module")
def model():
    return tiny_flux()


@pytest.fixture
def conditioning():
    return tiny_coupled(N, L_BG, L_ENT)


def test_cfg_with_an_uncoupled_negative(model, conditioning):
    """cfg mixes two separate calls: denoised = negative + cfg·(positive - negative)."""
    negative = tiny_conditioning(6, seed=50)
    seen = {}

    def keep(args):
        seen.update(cond=args["cond_denoised"], uncond=args["uncond_denoised"])
        return args["denoised"]

    def one_step(patcher, positive, negative, cfg):
        patcher = patcher.clone()
        patcher.set_model_sampler_post_cfg_function(keep, disable_cfg1_optimization=True)
        tiny_sample(patcher, positive, negative, steps=1, cfg=cfg)
        return seen["cond"], seen["uncond"]

    cond, uncond = one_step(couple(model, constant(0.4), "exact"), conditioning, negative, 3.0)
    _, stock_uncond = one_step(model, tiny_conditioning(9), negative, 3.0)
    coupled_alone, _ = one_step(
        couple(model, constant(0.4), "exact"), conditioning, tiny_conditioning(3), 1.0
    )
    assert torch.equal(uncond, stock_uncond)
    assert torch.equal(cond, coupled_alone)
    # of one length with the coupled text, where the host would like to batch them
    negative = tiny_conditioning(L_BG + L_ENT, seed=50)
    cond, uncond = one_step(couple(model, constant(0.4), "exact"), conditioning, negative, 3.0)
    assert torch.equal(uncond, one_step(model, tiny_conditioning(9), negative, 3.0)[1])
    assert torch.equal(cond, coupled_alone)


def test_two_coupled_conditionings_under_cfg(model, conditioning):
    """The host runs them as one batch of 2n: no row may take another's place, at theta = 0
    either.
    """
    negative = tiny_coupled(N, L_BG, L_ENT, seed=60)
    for theta in (0.0, 0.4):
        coupled = couple(model, constant(theta))
        whole = tiny_sample(coupled, conditioning, negative, cfg=3.0)
        for i in range(N):
            one = [select_images(c, [i]) for c in (conditioning, negative)]
            assert (
                relative_error(tiny_sample(coupled, *one, cfg=3.0, batch=1), whole[i : i + 1])
                <= 1e-5
            )


def test_another_override_is_chained(model, conditioning):
    """It gets every attention, is not called back by ours, and leaves the result as it is."""
    calls = []

    def other(func, *args, **kwargs):
        assert kwargs["transformer_options"]["optimized_attention_override"] is other
        calls.append(args[0].shape[2])
        return func(*args, **kwargs)

    hooked = model.clone()
    hooked.model_options["transformer_options"]["optimized_attention_override"] = other
    x = tiny_latent(N)
    for mode in ("exact", "local", "paper"):
        for theta in (0.0, 0.3, 1.0):
            alone = tiny_forward(couple(model, constant(theta), mode), conditioning, x)
            calls.clear()
            assert (
                relative_error(
                    tiny_forward(couple(hooked, constant(theta), mode), conditioning, x), alone
                )
                <= 1e-5
            )
            assert calls
    assert calls == [L_BG + L_ENT + 24] * 2 + [L_BG + 24, L_ENT + 24] * 2


@pytest.mark.parametrize("mode", ["exact", "local", "paper"])
def test_an_attention_that_the_user_asked_for_is_used(model, conditioning, monkeypatch, mode):
    """`--use-split-cross-attention`, say: the host's own function serves, and gives the same."""
    from comfy.cli_args import args

    from coupled.attention import kernels

    ours = tiny_sample(couple(model, THETA, mode), conditioning)
    monkeypatch.setattr(args, "use_split_cross_attention", True)
    monkeypatch.setattr(
        kernels, "kernel_for", lambda q: pytest.fail("a kernel of our own was taken")
    )
    assert relative_error(tiny_sample(couple(model, THETA, mode), conditioning), ours) <= 1e-5


def test_an_override_that_changes_the_result_is_felt(model, conditioning):
    hooked = model.clone()
    hooked.model_options["transformer_options"]["optimized_attention_override"] = (
        lambda f, *a, **k: f(*a, **k) * 0.5
    )
    x = tiny_latent(N)
    assert (
        relative_error(
            tiny_forward(couple(hooked, THETA), conditioning, x, 2),
            tiny_forward(couple(model, THETA), conditioning, x, 2),
        )
        > 1e-2
    )


def test_an_attention_beside_the_blocks_is_not_coupled(model, conditioning):
    """A pack that lets the image attend to something else, with the same options, gets plain
    attention.
    """
    from comfy.ldm.modules.attention import optimized_attention

    q, kv = torch.randn(1, 2, 30, 8), torch.randn(1, 2, 4, 8)
    outs = []

    def patch(q_in, k, v, pe, attn_mask, extra_options):
        outs.append(
            optimized_attention(q, kv, kv, 2, skip_reshape=True, transformer_options=extra_options)
        )
        return {}

    hooked = couple(model, constant(0.3))
    hooked.set_model_patch(patch, "attn1_patch")
    tiny_forward(hooked, conditioning, tiny_latent(N))
    assert len(outs) == 4 and all(
        torch.equal(o, optimized_attention(q, kv, kv, 2, skip_reshape=True)) for o in outs
    )


def test_masks_and_reference_latents(model, conditioning):
    """Reference tokens count as image.

    A mask of zeros changes nothing; one that hides the entity is felt.
    """
    x, refs = tiny_latent(N), [tiny_latent(N, seed=4)]
    tokens = L_BG + L_ENT + 48
    for mode in ("exact", "local", "paper"):
        for theta in (0.0, 0.3, 1.0):
            coupled = couple(model, constant(theta), mode)
            free = tiny_forward(coupled, conditioning, x, ref_latents=refs)
            mask = torch.zeros(N, tokens, tokens)
            assert (
                relative_error(
                    tiny_forward(coupled, conditioning, x, ref_latents=refs, attention_mask=mask),
                    free,
                )
                <= 1e-5
            )
        hidden = mask.clone()
        hidden[:, :, L_BG : L_BG + 2] = float("-inf")
        coupled = couple(model, constant(0.3), mode)
        assert (
            relative_error(
                tiny_forward(coupled, conditioning, x, ref_latents=refs, attention_mask=hidden),
                free,
            )
            > 1e-3
        )
        shorter = couple_conditioning(*split(conditioning, L_BG, 2))
        hidden_in_ent = tiny_forward(
            coupled, conditioning, x, ref_latents=refs, attention_mask=hidden
        )
        if mode != "paper":  # hidden keys are as good as absent
            assert (
                relative_error(tiny_forward(coupled, shorter, x, ref_latents=refs), hidden_in_ent)
                <= 1e-5
            )


def split(conditioning, n_bg, drop):
    """Background and entities of a coupled conditioning again, without the entities' first `drop`
    tokens.
    """
    ((context, values),) = conditioning
    pooled = values["model_conds"]["coupled_entity_pooled"].cond
    background = [[context[:1, :n_bg], {"pooled_output": values["pooled_output"][:1]}]]
    rows = [(context[i : i + 1, n_bg + drop :], pooled[i : i + 1]) for i in range(len(context))]
    return background, [[[c, {"pooled_output": p}]] for c, p in rows]


def test_controlnet_sees_the_shared_text(model, conditioning):
    net, control = tiny_controlnet()
    control.set_cond_hint(torch.rand(1, 3, 64, 96, generator=torch.Generator().manual_seed(3)))
    texts = []
    net.txt_in.register_forward_pre_hook(lambda _, args: texts.append(args[0]))
    controlled = [[c, {**v, "control": control}] for c, v in conditioning]
    coupled = couple(model, constant(0.0))
    out = tiny_sample(coupled, controlled)
    assert (
        all(torch.equal(t, conditioning[0][0][:1, :L_BG].expand_as(t)) for t in texts)
        and len(texts) == 4
    )
    assert relative_error(out, tiny_sample(coupled, conditioning)) > 1e-2
    assert relative_error(out[1:], out[:1].expand(2, -1, -1, -1)) <= 1e-5
    one = tiny_sample(couple(model, THETA), select_images(controlled, [1]), batch=1)
    assert relative_error(one, tiny_sample(couple(model, THETA), controlled)[1:2]) <= 1e-5


def test_controlnet_hints_follow_their_images(model, conditioning):
    _, control = tiny_controlnet()
    control.set_cond_hint(torch.rand(N, 3, 64, 96, generator=torch.Generator().manual_seed(3)))
    controlled = [[c, {**v, "control": control}] for c, v in conditioning]
    coupled = couple(model, THETA, "exact")
    whole = tiny_sample(coupled, controlled)
    for i in range(N):
        assert (
            relative_error(
                tiny_sample(coupled, select_images(controlled, [i]), batch=1), whole[i : i + 1]
            )
            <= 1e-5
        )


@pytest.mark.parametrize("first", ["lora", "couple"])
def test_lora(model, conditioning, first):
    """In either order: the same as coupling a model whose weights were changed by hand."""
    generator = torch.Generator().manual_seed(8)
    key = "diffusion_model.single_blocks.1.linear1"
    up, down = torch.randn(320, 4, generator=generator), torch.randn(4, 64, generator=generator)
    lora = {f"{key}.lora_up.weight": up, f"{key}.lora_down.weight": down}
    if first == "lora":
        patched = couple(comfy.sd.load_lora_for_models(model, None, lora, 0.3, 0)[0], THETA)
    else:
        patched = comfy.sd.load_lora_for_models(couple(model, THETA), None, lora, 0.3, 0)[0]
    out = tiny_sample(patched, conditioning)
    by_hand = tiny_flux()
    by_hand.model.diffusion_model.single_blocks[1].linear1.weight.data += 0.3 * up @ down
    expected = tiny_sample(couple(by_hand, THETA), conditioning)
    assert relative_error(out, expected) <= 1e-4
    assert relative_error(tiny_sample(couple(model, THETA), conditioning), expected) > 1e-2
