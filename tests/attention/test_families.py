"""Every family that can be coupled, on the host's own model class: what each must hold."""

import dataclasses

import pytest
import torch
from comfy.patcher_extension import WrappersMP
from tiny_families import ANIMA, CHROMA, FAMILIES, FLUX2, QWEN_IMAGE, SD3

import coupled.attention.call as call
import coupled.attention.plate_run as plate_run
import coupled.attention.region as region
from coupled.attention import couple_conditioning, select_images
from coupled.attention.call import WRAPPERS
from coupled.attention.families import ARCHITECTURES, architecture_of
from coupled.attention.override import OVERRIDE
from coupled.sampling import couple
from coupled.schedules import constant, sin, step01

from compare import relative_error
from tiny import find_all

# One text shorter than the background, one longer, and one past what a family fills texts up to
L_BG, LENGTHS = 5, (7, 3, 40)
N = len(LENGTHS)
THETA = sin(center=0.8, k=0.8, reference_steps=2)
MODES = ["exact", "paper", "local"]


def name_of(tiny):
    return tiny.name


each_family = pytest.mark.parametrize("tiny", FAMILIES, ids=name_of)


def texts_of(tiny, lengths=LENGTHS):
    return tiny.texts(L_BG, lengths)


def test_each_family_is_tested():
    names = {tiny.name for tiny in FAMILIES}
    assert {architecture.name for architecture in ARCHITECTURES} == names | {"Flux.1"}


@each_family
def test_the_model_is_known_by_its_name(tiny, model):
    assert architecture_of(model.model.diffusion_model).name == tiny.name


# --- between which texts it moves ---


@each_family
@pytest.mark.parametrize("theta", [0.0, 1.0])
@pytest.mark.parametrize("mode", ["exact", "weights"])
def test_at_its_ends_each_image_is_the_stock_models_on_that_text_alone(tiny, model, theta, mode):
    """exact: one text is dropped. weights: both are there, one with no weight in float32."""
    background, entities = texts_of(tiny)
    if mode == "weights":
        theta = abs(theta - 1e-9)
    out = tiny.sample(
        couple(model, constant(theta), "exact"), couple_conditioning(background, entities)
    )
    for i, entity in enumerate(entities):
        alone = tiny.sample(model, background if round(theta) == 0 else entity)
        assert relative_error(out[i : i + 1], alone) <= 2e-5


@each_family
def test_the_two_texts_make_two_pictures(tiny, model):
    background, entities = texts_of(tiny)
    pictures = [tiny.sample(model, text) for text in (background, *entities)]
    for i, picture in enumerate(pictures):
        assert all(relative_error(picture, other) > 1e-2 for other in pictures[:i])


@each_family
def test_one_text_on_both_sides_is_that_text(tiny, model):
    texts = [tiny.text(length, seed=2) for length in (9, 9)]
    out = tiny.sample(couple(model, constant(0.5), "exact"), couple_conditioning(*texts[:1], texts))
    assert relative_error(out[:1], tiny.sample(model, texts[0])) <= 2e-5


@each_family
@pytest.mark.parametrize("theta", [0.3, 0.7])
@pytest.mark.parametrize("mode", ["exact", "paper"])
def test_between_them_it_is_the_literal_equations(tiny, model, theta, mode):
    background, entities = texts_of(tiny)
    seen = []
    coupled = couple(model, constant(theta), mode)
    tiny.sample(
        coupled,
        couple_conditioning(background, entities),
        steps=1,
        callback=lambda step, x0, x, total: seen.append(x0),
    )
    sampling = model.get_model_object("model_sampling")
    sigma = sampling.sigma_max.reshape(1)
    x = sampling.noise_scaling(
        sigma, tiny.noise(), torch.zeros_like(tiny.noise()), max_denoise=True
    )
    for i, entity in enumerate(entities):
        v = tiny.literal()(
            model.model.diffusion_model,
            sampling.calculate_input(sigma, x),
            sampling.timestep(sigma).float(),
            background[0],
            entity[0],
            theta,
            mode,
        )
        x0 = sampling.calculate_denoised(sigma, v, x)
        error = relative_error(seen[0][i : i + 1], x0)
        print(f"max error {tiny.name} {mode} theta={theta}: {error:.2e}")
        assert error <= 2e-5


# --- sets ---


@each_family
@pytest.mark.parametrize("mode", MODES)
def test_one_by_one_is_all_at_once(tiny, model, mode):
    background, entities = texts_of(tiny)
    coupled, together = couple(model, THETA, mode), couple_conditioning(background, entities)
    images = tiny.sample(coupled, together)
    for i, entity in enumerate(entities):
        for alone in (couple_conditioning(background, [entity]), select_images(together, [i])):
            assert relative_error(tiny.sample(coupled, alone), images[i : i + 1]) <= 1e-4


@each_family
def test_where_all_is_their_own_images_beside_a_plate_are_those_of_exact_mode(
    tiny, model, monkeypatch
):
    """Also from where theta is 1 on, and each row reads one text."""
    monkeypatch.setattr(region, "NOISE", 1.0)
    monkeypatch.setattr(plate_run, "find_region", find_all)
    background, entities = texts_of(tiny)
    together = couple_conditioning(background, entities)
    schedule = step01(center=2, reference_steps=4)
    out, exact = (
        tiny.sample(couple(model, schedule, mode), together, steps=4) for mode in ("local", "exact")
    )
    assert relative_error(out, exact) <= 1e-4


@each_family
def test_bypassed_it_is_the_stock_model(tiny, model):
    plain = tiny.text(9)
    stock = tiny.sample(model, plain)
    assert torch.equal(tiny.sample(couple(model, THETA), plain), stock)
    assert torch.equal(tiny.sample(model, plain), stock)


@each_family
def test_an_uncoupled_negative_is_the_stock_models(tiny, model):
    seen = []

    def keep(args):
        seen.append((args["cond_denoised"], args["uncond_denoised"]))
        return args["denoised"]

    background, entities = texts_of(tiny)
    negative = tiny.text(L_BG + max(LENGTHS), seed=50)
    for patcher, positive in (
        (couple(model, constant(0.4), "exact"), couple_conditioning(background, entities)),
        (model, tiny.text(9)),
    ):
        patcher = patcher.clone()
        patcher.set_model_sampler_post_cfg_function(keep, disable_cfg1_optimization=True)
        tiny.sample(patcher, positive, negative, steps=1, cfg=3.0)
    (cond, uncond), (_, stock) = seen
    for row in uncond:
        assert relative_error(row[None], stock) <= 1e-6
    assert relative_error(cond[:1], cond[1:2]) > 1e-3


PLACED = [one for one in ARCHITECTURES if one.positions is not None]
placed_family = pytest.mark.parametrize(
    "tiny", [tiny for tiny in FAMILIES if tiny.name in {one.name for one in PLACED}], ids=name_of
)


@placed_family
@pytest.mark.parametrize("theta", [0.6, 1.0])
def test_the_regions_alone_are_what_whole_pictures_give(tiny, model, theta, monkeypatch):
    """Whole pictures: because another wrapper stands around the model."""
    seen, choose = [], call.choose_layout

    def spy(*args):
        layout = choose(*args)
        seen.append(type(layout).__name__)
        return layout

    monkeypatch.setattr(call, "choose_layout", spy)
    sides = (32, 33) if tiny is FLUX2 else (47, 49)  # long texts leave less to save
    large = dataclasses.replace(tiny, latent=(*tiny.latent[:-2], *sides))
    regions = torch.zeros(N, 24, 24)
    for i in range(N):
        regions[i, 2 : 5 + i, 3 * i : 3 * i + 4] = 1
    coupled = couple(model, constant(theta), "local", regions=regions)
    wrapped = coupled.clone()
    wrapped.add_wrapper_with_key(
        WrappersMP.DIFFUSION_MODEL, "theirs", lambda model, *args, **kwargs: model(*args, **kwargs)
    )
    conditioning = couple_conditioning(*texts_of(tiny))
    parts, whole = (large.sample(patcher, conditioning, steps=3) for patcher in (coupled, wrapped))
    assert seen.count("Strips") >= 1 and "Strips" not in seen[3:]
    assert relative_error(parts, whole) <= 1e-4


# --- beside others ---


@each_family
@pytest.mark.parametrize("mode", MODES)
def test_another_override_is_chained(tiny, model, mode):
    def other(func, *args, **kwargs):
        assert kwargs["transformer_options"][OVERRIDE] is other
        calls.append(1)
        return func(*args, **kwargs)

    calls = []
    conditioning = couple_conditioning(*texts_of(tiny))
    hooked = model.clone()
    hooked.model_options["transformer_options"][OVERRIDE] = other
    ours = tiny.sample(couple(hooked, constant(0.4), mode), conditioning, steps=1)
    alone = tiny.sample(couple(model, constant(0.4), mode), conditioning, steps=1)
    assert calls and relative_error(ours, alone) <= 1e-4


@each_family
def test_a_lora_counts(tiny, model):
    names = [k for k, v in model.model.state_dict().items() if v.ndim == 2 and v.shape[0] >= 64]
    generator = torch.Generator().manual_seed(3)
    patches = {
        f"{name}": (0.02 * torch.randn(model.model.state_dict()[name].shape, generator=generator),)
        for name in names
    }
    patched = model.clone()
    assert len(patched.add_patches(patches, 1.0)) == len(names) > 0
    background, entities = texts_of(tiny)
    out = tiny.sample(
        couple(patched, constant(1.0), "exact"), couple_conditioning(background, entities)
    )
    stock = [tiny.sample(patched, entity) for entity in entities]
    assert relative_error(out, torch.cat(stock)) <= 2e-5
    unpatched = tiny.sample(model, entities[0])
    assert relative_error(stock[0], unpatched) > 1e-3


@each_family
@pytest.mark.parametrize("mode", MODES)
def test_blocks_that_do_not_reach_the_override_are_an_error(tiny, model, mode):
    def without_override(executor, *args, **kwargs):
        args = [strip(value) for value in args]
        return executor(*args, **{k: strip(v) for k, v in kwargs.items()})

    def strip(value):
        if not isinstance(value, dict):
            return value
        return {k: v for k, v in value.items() if k != OVERRIDE}

    coupled = couple(model, constant(0.3), mode)
    key = WRAPPERS if tiny is SD3 else "theirs"  # SD3 has no place for others' wrappers
    coupled.add_wrapper_with_key(WrappersMP.DIFFUSION_MODEL, key, without_override)
    with pytest.raises(ValueError, match=f"0 of the .* of the blocks of {tiny.name} reached"):
        tiny.sample(coupled, couple_conditioning(*texts_of(tiny)), steps=1)


# --- what single families need ---


@pytest.mark.parametrize("theta", [0.0, 1.0])
@pytest.mark.parametrize("tiny", [QWEN_IMAGE], ids=["Qwen-Image"])
def test_tokens_that_the_text_encoder_hides_stay_hidden(tiny, model, theta):
    background, entities = texts_of(tiny)
    background[0][1]["attention_mask"] = torch.tensor([[1, 1, 1, 0, 0]])
    entities[2][0][1]["attention_mask"] = (torch.arange(LENGTHS[2]) < 4).long()[None]
    out = tiny.sample(
        couple(model, constant(theta), "exact"), couple_conditioning(background, entities)
    )
    for i, entity in enumerate(entities):
        alone = tiny.sample(model, background if theta == 0 else entity)
        assert relative_error(out[i : i + 1], alone) <= 2e-5
    unmasked = [[text, {}] for text, _ in entities[2]]
    assert relative_error(tiny.sample(model, unmasked), tiny.sample(model, entities[2])) > 1e-3


@pytest.mark.parametrize("tiny", [CHROMA], ids=["Chroma"])
def test_the_users_distilled_guidance_is_not_given_to_a_family_that_has_its_own(tiny, model):
    background, entities = texts_of(tiny)
    coupled = couple(model, constant(0.4))
    outs = [
        tiny.sample(coupled, couple_conditioning(background, entities, guidance))
        for guidance in (None, 3.5)
    ]
    assert torch.equal(*outs)


@pytest.mark.parametrize("tiny", [ANIMA], ids=["Anima"])
@pytest.mark.parametrize("theta", [1e-9, 1 - 1e-9])
def test_a_text_as_long_as_the_image_is_not_taken_for_it(tiny, model, theta):
    """Both texts have 512 + 512 tokens, the image 32 × 32."""
    square = dataclasses.replace(tiny, latent=(16, 1, 64, 64))
    background, entities = texts_of(tiny, (3, 9))
    out = square.sample(
        couple(model, constant(theta), "exact"), couple_conditioning(background, entities), steps=1
    )
    for i, entity in enumerate(entities):
        alone = square.sample(model, background if theta < 0.5 else entity, steps=1)
        assert relative_error(out[i : i + 1], alone) <= 2e-5


@pytest.mark.parametrize("tiny", [ANIMA], ids=["Anima"])
def test_texts_past_what_the_host_fills_up_to_do_not_see_each_others_length(tiny, model):
    background, entities = texts_of(tiny, (560, 4, 530))
    out = tiny.sample(
        couple(model, constant(1.0), "exact"), couple_conditioning(background, entities), steps=1
    )
    for i, entity in enumerate(entities):
        assert relative_error(out[i : i + 1], tiny.sample(model, entity, steps=1)) <= 2e-5
