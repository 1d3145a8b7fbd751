"""Encode Coupled Prompts and Coupled Attention, with the host's Flux text encoders at a small
size.
"""

from types import SimpleNamespace

import comfy.sd
import comfy.supported_models_base
import comfy.text_encoders.flux
import pytest
import torch
from comfy.ldm.flux.redux import ReduxImageEncoder

import nodes
from coupled.attention import coupled_mode, coupled_size
from coupled.attention.encoding import longest, pad, pad_tokens
from coupled.nodes.coupling import NODES, CoupledModelPatch, CoupledTextEncode
from coupled.sampling import couple
from coupled.schedules import constant, sin

from tiny import POOLED_DIM, TEXT_DIM, fill, tiny_conditioning, tiny_flux, tiny_sample

T5 = {
    "num_layers": 1,
    "d_model": TEXT_DIM,
    "d_kv": 8,
    "num_heads": 4,
    "d_ff": 32,
    "vocab_size": 32128,
    "dense_act_fn": "gelu_pytorch_tanh",
    "is_gated_act": True,
    "model_type": "t5",
}
CLIP_L = {
    "num_hidden_layers": 1,
    "hidden_size": POOLED_DIM,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "projection_dim": POOLED_DIM,
}
LONG = "a red fox with a very bushy tail, " * 40
BACKGROUND = "A sunny meadow."


@pytest.fixture(scope="module")
def clip():
    """The host's CLIP object for Flux.1: CLIP-L and T5 of one small layer, with the real
    tokenizers.
    """
    target = comfy.supported_models_base.ClipTarget(
        comfy.text_encoders.flux.FluxTokenizer, comfy.text_encoders.flux.flux_clip()
    )
    options = {"t5xxl_model_config": T5, "clip_l_model_config": CLIP_L, "dtype": torch.float32}
    clip = comfy.sd.CLIP(target, model_options=options)
    fill(clip.cond_stage_model, 4)
    return clip


def encode(clip, **inputs):
    defaults = {"background": BACKGROUND, "entities": "A red fox sits.\nAn eagle lands."}
    return CoupledTextEncode.execute(clip=clip, **{**defaults, **inputs}).result[0]


def alone(clip, text):
    return clip.encode_from_tokens(clip.tokenize(text), return_pooled=True)


def test_rows_are_the_texts_as_the_host_encodes_them(clip):
    ((context, values),) = encode(clip)
    assert context.shape == (2, 512, TEXT_DIM) and values["guidance"] == 3.5
    pooled = values["model_conds"]["coupled_entity_pooled"].cond
    background, background_pooled = alone(clip, BACKGROUND)
    for i, text in enumerate(("A red fox sits.", "An eagle lands.")):
        cond, entity_pooled = alone(clip, text)
        assert torch.equal(context[i, :256], background[0]) and torch.equal(
            context[i, 256:], cond[0]
        )
        assert torch.equal(pooled[i], entity_pooled[0])
        assert torch.equal(values["pooled_output"][i], background_pooled[0])


def test_a_long_entity_changes_no_other_text(clip):
    """Each is as the host encodes it alone; what fills up the short one is hidden."""
    ((context, values),) = encode(clip, entities=f"A red fox sits.\n\n  {LONG} \n")
    n = len(clip.tokenize(LONG.strip())["t5xxl"][0])
    assert n > 256 and context.shape == (2, 256 + n, TEXT_DIM)
    assert values["model_conds"]["coupled_background_tokens"].cond == 256
    assert torch.equal(context[0, 256:512], alone(clip, "A red fox sits.")[0][0])
    assert torch.equal(context[1, 256:], alone(clip, LONG.strip())[0][0])
    hidden = values["model_conds"]["coupled_entity_padding"].cond.isinf()
    assert hidden.sum(1).tolist() == [n - 256, 0] and hidden[0, 256:].all()


@pytest.mark.parametrize("mode", ["local", "exact", "paper"])
def test_one_by_one_is_all_at_once_where_an_entity_is_long(clip, mode):
    coupled = CoupledModelPatch.execute(model=tiny_flux(), theta=sin(1.5, 0.8, 4), mode=mode)
    texts = "A red fox sits.", LONG.strip(), "An eagle lands."
    together = tiny_sample(coupled.result[0], encode(clip, entities="\n".join(texts)))
    for i, text in enumerate(texts):
        image = tiny_sample(coupled.result[0], encode(clip, entities=text), batch=1)[0]
        assert (image - together[i]).abs().max() < 1e-4 * image.abs().max()


def test_options_of_the_clip_are_kept(clip):
    optioned = clip.clone()
    optioned.set_tokenizer_option("t5xxl_min_length", 0)
    ((context, values),) = encode(optioned, entities="A fox.\nA much longer eagle with wings.")
    n_bg = len(optioned.tokenize(BACKGROUND)["t5xxl"][0])
    n_ent = len(optioned.tokenize("A much longer eagle with wings.")["t5xxl"][0])
    assert values["model_conds"]["coupled_background_tokens"].cond == n_bg < 10
    assert context.shape[1] == n_bg + n_ent


def test_each_distinct_text_is_encoded_once(clip, monkeypatch):
    calls = []
    original = clip.encode_from_tokens_scheduled
    monkeypatch.setattr(
        clip, "encode_from_tokens_scheduled", lambda t, **k: calls.append(t) or original(t, **k)
    )
    ((context, _),) = encode(clip, entities="A fox.\nAn eagle.\nA fox.")
    assert len(calls) == 3 and context.shape[0] == 3
    assert torch.equal(context[0], context[2]) and not torch.equal(context[0], context[1])


def test_full_prompts_take_the_entities_place(clip):
    prompts = "A red fox sits in a sunny meadow.\nAn eagle lands in a sunny meadow."
    ((context, _),) = encode(clip, entity_text="full prompt", prompts=prompts)
    assert torch.equal(context[1, 256:], alone(clip, prompts.splitlines()[1])[0][0])
    ((context, _),) = encode(clip, entity_text="entity", prompts=prompts)
    assert torch.equal(context[1, 256:], alone(clip, "An eagle lands.")[0][0])


@pytest.mark.parametrize(
    "inputs, message",
    [
        ({"background": "  \n"}, "`background` is empty"),
        ({"entities": "\n  \n"}, "`entities` is empty"),
        ({"guidance": float("nan")}, "guidance must be a finite number"),
        ({"entities": "\ufeff\n\u200b"}, "`entities` is empty"),
        ({"entity_text": "full prompt"}, "of lines `entities` has 2, `prompts` has 0"),
        (
            {"entity_text": "full prompt", "prompts": "one\n\ntwo\nthree"},
            "of lines `entities` has 2, `prompts` has 3",
        ),
    ],
)
def test_refusals(clip, inputs, message):
    with pytest.raises(ValueError, match=message):
        encode(clip, **inputs)


def scheduled(clip, text):
    return clip.encode_from_tokens_scheduled(clip.tokenize(text))


def styled(conditioning, strength=1.0, strength_type="multiply"):
    """After the host's Apply Style Model, with a small Redux of random weights and 5 tokens."""
    redux = ReduxImageEncoder(redux_dim=12, txt_in_features=TEXT_DIM)
    fill(redux, 6)
    seen = SimpleNamespace(
        last_hidden_state=torch.randn(1, 5, 12, generator=torch.Generator().manual_seed(8))
    )
    with torch.no_grad():
        return nodes.StyleModelApply().apply_stylemodel(
            conditioning, comfy.sd.StyleModel(redux), seen, strength, strength_type
        )[0]


def test_a_background_conditioning_takes_the_backgrounds_place(clip):
    ((context, values),) = encode(clip)
    ((same, others),) = encode(
        clip, background="", background_conditioning=scheduled(clip, BACKGROUND)
    )
    assert torch.equal(context, same) and others.keys() == values.keys()
    assert torch.equal(values["pooled_output"], others["pooled_output"])
    assert others["model_conds"]["coupled_background_tokens"].cond == 256


@pytest.mark.parametrize("strength", [(1.0, "multiply"), (0.6, "multiply"), (0.6, "attn_bias")])
def test_a_style_is_part_of_the_background(clip, strength):
    """At theta 0 the styled background alone counts, mask and all; at theta 1 the entity alone."""
    model, plain = tiny_flux(), scheduled(clip, BACKGROUND)
    background = styled(plain, *strength)
    positive = encode(clip, background="", background_conditioning=background)
    images = [tiny_sample(couple(model, constant(t), "exact"), positive, batch=2) for t in (0, 1)]
    stock = [
        tiny_sample(model, text, batch=1)[0]
        for text in (background, scheduled(clip, "A red fox sits."), plain)
    ]
    for image, expected in zip(images, stock[:2], strict=True):
        assert (image[0] - expected).abs().max() < 1e-4 * expected.abs().max()
    assert (stock[0] - stock[2]).abs().max() > 1e-2 * stock[2].abs().max()


@pytest.mark.parametrize("mode", ["local", "exact", "paper"])
def test_one_by_one_is_all_at_once_with_a_weighed_style(clip, mode):
    coupled = couple(tiny_flux(), sin(1.5, 0.8, 4), mode)
    background = styled(scheduled(clip, BACKGROUND), 0.6, "attn_bias")
    texts = "A red fox sits.", LONG.strip(), "An eagle lands."
    inputs = {"background": "", "background_conditioning": background}
    together = tiny_sample(coupled, encode(clip, entities="\n".join(texts), **inputs))
    for i, text in enumerate(texts):
        image = tiny_sample(coupled, encode(clip, entities=text, **inputs), batch=1)[0]
        assert (image - together[i]).abs().max() < 1e-4 * image.abs().max()


def test_background_conditionings_that_are_refused(clip):
    for refused, message in [
        (encode(clip), "is a coupled set already"),
        (tiny_conditioning(6, batch=2), "must be one encoded text, and it has 2"),
        ([], "must be one encoded text, and it has 0"),
        (scheduled(clip, "A") + scheduled(clip, "B"), "do not combine conditionings"),
        ([[torch.zeros(1, 6, 8), {}]], "different text encoders"),
    ]:
        with pytest.raises(ValueError, match=message):
            encode(clip, background_conditioning=refused)


def test_no_clip():
    with pytest.raises(ValueError, match="^Load a text encoder"):
        encode(None)


class BareTokenizer:
    """A tokenizer without the host's options: one token per word, its own pad token."""

    pad_token = -1


class BareClip:
    tokenizer = BareTokenizer()

    def tokenize(self, text, **kwargs):
        return {"words": [[(len(word), 1.0) for word in text.split()]]}


def test_a_tokenizer_without_options_is_padded_with_its_own_pad_token():
    short, long = (BareClip().tokenize(t) for t in ("a bb", "a bb ccc dddd"))
    lengths = longest([short, long])
    assert (
        lengths == {"words": 4} and pad_tokens(BareClip(), "a bb ccc dddd", long, lengths) is long
    )
    assert pad_tokens(BareClip(), "a bb", short, lengths) == {
        "words": [[(1, 1.0), (2, 1.0), (-1, 1.0), (-1, 1.0)]]
    }
    with pytest.raises(ValueError, match="differ in length by 2 tokens"):
        pad(object(), "words", [(1, 1.0)], 2)


def test_model_patch_and_a_run(clip):
    model = tiny_flux()
    patched = CoupledModelPatch.execute(model=model, theta=sin(1.5, 0.8, 4), mode="paper").result[0]
    assert coupled_mode(patched) is not None and coupled_mode(model) is None
    conditioning = encode(clip)
    assert coupled_size(conditioning) == 2
    out = tiny_sample(patched, conditioning, batch=2)
    assert out.isfinite().all() and not torch.equal(out[0], out[1])


def test_schemas_follow_the_contract():
    schemas = {node.GET_SCHEMA().node_id: node.GET_SCHEMA() for node in NODES}
    assert list(schemas) == ["CoupledTextEncode", "CoupledModelPatch"]
    encode_inputs = {i.id: i for i in schemas["CoupledTextEncode"].inputs}
    assert list(encode_inputs) == [
        "clip",
        "background",
        "entities",
        "guidance",
        "entity_text",
        "prompts",
        "background_conditioning",
    ]
    assert encode_inputs["guidance"].default == 3.5 and encode_inputs["prompts"].optional
    assert encode_inputs["entity_text"].options == ["entity", "full prompt"]
    patch_inputs = {i.id: i for i in schemas["CoupledModelPatch"].inputs}
    assert (
        list(patch_inputs) == ["model", "theta", "mode", "plate", "regions"]
        and patch_inputs["theta"].io_type == "THETA_SCHEDULE"
    )
    assert (
        patch_inputs["mode"].options == ["local", "exact", "paper"]
        and patch_inputs["mode"].default == "local"
    )
    for schema in schemas.values():
        assert (
            schema.description and schema.search_aliases and schema.category.startswith("coupled/")
        )
        assert all(i.tooltip for i in schema.inputs) and all(o.display_name for o in schema.outputs)
