"""Local mode: the plate beside a set, where the entity is found, and that an image is the plate
outside it.
"""

import comfy.samplers
import pytest
import torch

import coupled.attention.plate_run as plate_run
import coupled.attention.region as region_room
from coupled.attention import select_images
from coupled.attention.contrast import ContrastProbe
from coupled.sampling import couple
from coupled.schedules import constant, sin, step01

from compare import relative_error
from literal import literal_local
from tiny import find_all, tiny_conditioning, tiny_coupled, tiny_flux, tiny_latent, tiny_sample

N, L_BG, L_ENT, STEPS = 3, 5, 7, 4
PATCH = 2  # latent pixels of a token's side
THETA = sin(center=1.5, k=0.8, reference_steps=STEPS)


@pytest.fixture(scope="module")
def model():
    return tiny_flux(gain=0.5)


@pytest.fixture
def conditioning():
    return tiny_coupled(N, L_BG, L_ENT)


def boxes():
    """Where each of three entities may stand in 4 x 6 tokens, [N, 4, 6]: from 2 to 6 tokens."""
    tokens = torch.zeros(N, 4, 6)
    tokens[0, 1:3, 1:3] = 1
    tokens[1, 0:2, 4:5] = 1
    tokens[2, 1:3, 3:6] = 1
    return tokens


def inside(tokens=None):
    """The same as latent pixels, [N, 16, 8, 12]."""
    tokens = boxes() if tokens is None else tokens
    pixels = tokens.repeat_interleave(2, 1).repeat_interleave(2, 2) > 0
    return pixels[:, None].expand(-1, 16, -1, -1)


@pytest.mark.parametrize("regions", [None, boxes()], ids=["found", "drawn"])
@pytest.mark.parametrize(
    "schedule", [THETA, step01(2, STEPS), constant(0.6)], ids=["sin", "01", "constant"]
)
def test_a_run_matches_the_literal_equations(model, conditioning, schedule, regions):
    """Whole pictures, each by itself, the plate's keys and values put in by hand in every block."""
    ((context, values),) = conditioning
    pooled_ent = values["model_conds"]["coupled_entity_pooled"].cond
    coupled = couple(model, schedule, "local", regions=regions)
    ours = tiny_sample(coupled, conditioning, steps=STEPS)
    sigmas = sigmas_of(model)
    expected, own = literal_local(
        model.model.diffusion_model,
        sigmas[0] * tiny_latent(N),
        sigmas,
        schedule.values(STEPS),
        context[:1, :L_BG],
        context[:, L_BG:],
        values["pooled_output"][:1],
        pooled_ent,
        regions=None if regions is None else regions > 0,
    )
    assert relative_error(ours, model.model.process_latent_out(expected)) <= 2e-5
    assert own.any() and (ours[0] != ours[1]).any()


def sigmas_of(model):
    return comfy.samplers.calculate_sigmas(
        model.get_model_object("model_sampling"), "simple", STEPS
    )


NO_SET = {"dpm_adaptive"}


@pytest.mark.parametrize(
    "sampler", [name for name in comfy.samplers.KSampler.SAMPLERS if name not in NO_SET]
)
@pytest.mark.parametrize("cfg", [1.0, 2.0])
def test_outside_their_regions_all_images_are_one_with_every_sampler(
    model, conditioning, sampler, cfg
):
    """To the bit, and inside they are not."""
    coupled = couple(model, THETA, "local", regions=boxes())
    out = tiny_sample(coupled, conditioning, sampler_name=sampler, cfg=cfg)
    background = ~inside().any(0)
    assert torch.equal(out[:, background], out[:1, background].expand(N, -1))
    for i in range(N):
        assert (out[i] != out[(i + 1) % N])[inside()[i]].any()


@pytest.mark.parametrize("sampler", ["euler", "dpmpp_2m", "heun"])
def test_with_nowhere_to_stand_the_images_are_the_background_alone(model, conditioning, sampler):
    coupled = couple(model, THETA, "local", regions=torch.zeros(1, 4, 6))
    out = tiny_sample(coupled, conditioning, sampler_name=sampler)
    plate = tiny_sample(model, tiny_conditioning(L_BG), batch=1, sampler_name=sampler)
    assert relative_error(out, plate.expand_as(out)) <= 1e-5
    assert torch.equal(out, out[:1].expand_as(out))


def test_where_everything_is_their_own_the_images_are_those_of_exact_mode(
    model, conditioning, monkeypatch
):
    monkeypatch.setattr(plate_run, "find_region", find_all)
    out = tiny_sample(couple(model, THETA, "local"), conditioning)
    assert relative_error(out, tiny_sample(couple(model, THETA, "exact"), conditioning)) <= 1e-5


@pytest.mark.parametrize("sampler", ["heun", "euler_ancestral", "dpmpp_2m_sde", "uni_pc"])
def test_any_sampler_serves(model, conditioning, sampler):
    """One by one as all together, also where the sampler calls the model between steps or draws
    noise.
    """

    coupled = couple(model, THETA, "local")
    whole = tiny_sample(coupled, conditioning, sampler_name=sampler)
    assert not torch.equal(whole[0], whole[1])
    for i in range(N):
        one = tiny_sample(coupled, select_images(conditioning, [i]), batch=1, sampler_name=sampler)
        assert relative_error(one, whole[i : i + 1]) <= 1e-5


def test_nobody_sees_the_plate(model, conditioning):
    """Callbacks and results hold the images alone, and a mask per image stays with its image."""
    seen = []
    mask = torch.ones(N, 1, 8, 12)
    mask[1, :, :, :6] = 0
    out = tiny_sample(
        couple(model, THETA, "local"),
        conditioning,
        noise_mask=mask,
        callback=lambda step, x0, x, total: seen.append((x0.shape[0], x.shape[0])),
    )
    assert out.shape[0] == N and seen == [(N, N)] * 4
    kept = out[:, :, :, :6].std((1, 2, 3))  # the empty latent, as it was
    assert kept[1] < 1e-5 < 0.1 < kept[0]


def test_under_cfg_two_sets_in_one_call_keep_their_own_plates(model, conditioning):
    negative = tiny_coupled(N, L_BG, L_ENT, seed=60)
    coupled = couple(model, constant(0.4), "local")
    whole = tiny_sample(coupled, conditioning, negative, cfg=2.0)
    for i in range(N):
        pair = [select_images(c, [i]) for c in (conditioning, negative)]
        assert (
            relative_error(tiny_sample(coupled, *pair, cfg=2.0, batch=1), whole[i : i + 1]) <= 1e-5
        )


# Where the entity is


def find(contrast, x0):
    """The first image's latent pixels, [H, W]."""
    return region_room.find_region(contrast, x0, PATCH)[0]


def painted(height, width, box):
    """(contrast [2, S], x0 [2, 16, H, W]): an image whose entity fills a box of tokens, and its
    plate.
    """
    top, left, bottom, right = box
    generator = torch.Generator().manual_seed(0)
    tokens = 0.1 * torch.randn(2, (height + 1) // 2, (width + 1) // 2, generator=generator)
    tokens[0, top:bottom, left:right] += 2
    x0 = torch.randn(1, 16, height, width, generator=generator).repeat(2, 1, 1, 1)
    x0[0] += 0.02 * torch.randn(16, height, width, generator=generator)
    x0[0, :, 2 * top : 2 * bottom, 2 * left : 2 * right] += 1
    return tokens.flatten(1), x0


@pytest.mark.parametrize("height, width", [(32, 32), (33, 47), (128, 96)])
@pytest.mark.parametrize("large", [False, True])
def test_the_region_is_the_entity_with_a_margin(height, width, large):
    """A sixteenth of the shorter side, around a small entity as around half of the picture."""
    y, x = height // 8, width // 8 + 1
    box = (2, 1, height // 2, width // 2 - 3) if large else (y, x, y + 5, x + 6)
    top, left, bottom, right = (2 * side for side in box)
    by = min(height, width) // 16
    region = find(*painted(height, width, box))
    assert region[top:bottom, left:right].all()
    around = torch.zeros_like(region)
    spot = by + 2
    around[max(0, top - spot) : bottom + spot, max(0, left - spot) : right + spot] = True
    assert not region[~around].any()


def test_drift_alone_and_attention_alone_are_no_entity():
    contrast, x0 = painted(32, 32, (4, 4, 8, 8))
    drift = x0.clone()
    drift[0, :, 20:28, 20:28] += 0.1  # the background differs where nobody attends to the entity
    assert not find(contrast, drift)[20:28, 20:28].any()
    attended = contrast.clone().view(2, 16, 16)
    attended[0, 12:14, 12:14] += 0.8
    assert not find(attended.flatten(1), x0)[24:28, 24:28].any()


def test_of_what_differs_as_much_small_parts_beside_a_large_one_do_not_count():
    _, x0 = painted(32, 32, (4, 4, 8, 8))
    x0[0, :, 26:28, 26:28] += 1
    region = find(None, x0)
    assert region[8:16, 8:16].all() and not region[24:, 24:].any()
    x0[0, :, 22:28, 22:28] += 1  # and another one that is as large does
    assert find(None, x0)[22:28, 22:28].all()


def test_a_spot_of_a_subject_that_looks_like_the_plate_is_in():
    contrast, x0 = painted(32, 32, (4, 4, 12, 12))
    x0[0, :, 15:17, 15:17] = x0[1, :, 15:17, 15:17]
    assert find(contrast, x0)[8:24, 8:24].all()


def test_where_nothing_differs_nothing_is_found():
    contrast, x0 = painted(32, 32, (4, 4, 8, 8))
    assert not find(None, x0[1:].repeat(2, 1, 1, 1)).any()


def test_it_is_decided_once_the_noise_has_fallen_and_in_the_last_step_in_any_case():
    assert not region_room.is_time(0.99, False)
    assert region_room.is_time(region_room.NOISE, False) and region_room.is_time(1.0, True)


def test_a_text_that_a_mask_hides_gives_no_nan():
    seen = ContrastProbe()
    nothing = torch.full((1, 2, 9), float("-inf"))
    seen.record(nothing, nothing)
    seen.record(torch.zeros(1, 2, 9), nothing)
    assert seen.contrast_BS().isfinite().all()
