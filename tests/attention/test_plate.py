"""Local mode: the plate beside a set, where the entity is found, and what the images are led to."""

import pytest
import torch

import coupled.attention.gate as gate
import coupled.attention.plate as plate_room
from coupled.attention import select_images
from coupled.attention.contrast import ContrastProbe
from coupled.sampling import couple
from coupled.schedules import constant, sin, step01

from compare import relative_error
from literal import literal_local
from tiny import tiny_conditioning, tiny_coupled, tiny_flux, tiny_latent, tiny_sample

N, L_BG, L_ENT, STEPS = 3, 5, 7, 4
PATCH = 2  # latent pixels of a token's side
THETA = sin(center=1.5, k=0.8, reference_steps=STEPS)


@pytest.fixture(scope="module")
def model():
    return tiny_flux(gain=0.5)


@pytest.fixture
def conditioning():
    return tiny_coupled(N, L_BG, L_ENT)


def everywhere(value):
    """In place of the gate: the same number for all images."""

    def find_region(contrast_NS, x0_NCHW, patch):
        region_N1HW = torch.full_like(x0_NCHW[:, :1], value)
        region_N1HW[-1] = 1
        return region_N1HW

    return find_region


@pytest.mark.parametrize(
    "schedule", [THETA, step01(2, STEPS), constant(0.6)], ids=["sin", "01", "constant"]
)
def test_a_run_matches_the_literal_equations(model, conditioning, schedule):
    ((context, values),) = conditioning
    pooled_ent = values["model_conds"]["coupled_entity_pooled"].cond
    ours = tiny_sample(couple(model, schedule, "local"), conditioning, steps=STEPS)
    sigmas = sigmas_of(model)
    expected = literal_local(
        model.model.diffusion_model,
        sigmas[0] * tiny_latent(N),
        sigmas,
        schedule.values(STEPS),
        context[:1, :L_BG],
        context[:, L_BG:],
        values["pooled_output"][:1],
        pooled_ent,
    )
    assert relative_error(ours, model.model.process_latent_out(expected)) <= 2e-5


def sigmas_of(model):
    import comfy.samplers

    return comfy.samplers.calculate_sigmas(
        model.get_model_object("model_sampling"), "simple", STEPS
    )


def test_beside_the_entity_the_images_are_the_background_alone(model, conditioning, monkeypatch):
    monkeypatch.setattr(plate_room, "find_region", everywhere(0.0))
    out = tiny_sample(couple(model, THETA, "local"), conditioning)
    plate = tiny_sample(model, tiny_conditioning(L_BG), batch=1)
    assert relative_error(out, plate.expand_as(out)) <= 1e-5
    assert torch.equal(out, out[:1].expand_as(out))


def test_on_the_entity_the_images_are_those_of_exact_mode(model, conditioning, monkeypatch):
    monkeypatch.setattr(plate_room, "find_region", everywhere(1.0))
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
def test_the_gate_opens_on_the_entity_alone(height, width):
    box = (4, 5, 9, 11)
    region = gate.find_region(*painted(height, width, box), PATCH)
    assert region.shape == (2, 1, height, width) and (region[-1] == 1).all()
    inside = torch.zeros(height, width, dtype=torch.bool)
    inside[8:18, 10:22] = True
    around = torch.zeros_like(inside)
    around[4:22, 6:26] = True
    assert region[0, 0][inside].mean() > 0.9 and (region[0, 0][~around] == 0).float().mean() > 0.99


def test_drift_alone_and_attention_alone_do_not_open_it():
    contrast, x0 = painted(32, 32, (4, 4, 8, 8))
    drift = x0.clone()
    drift[0, :, 20:28, 20:28] += 0.1  # the background differs where nobody attends to the entity
    assert gate.find_region(contrast, drift, PATCH)[0, 0, 20:28, 20:28].max() < 0.5
    attended = contrast.clone().view(2, 16, 16)
    attended[0, 12:14, 12:14] += 0.8
    assert gate.find_region(attended.flatten(1), x0, PATCH)[0, 0, 24:28, 24:28].max() < 0.5


def test_a_text_that_a_mask_hides_gives_no_nan():
    seen = ContrastProbe()
    nothing = torch.full((1, 2, 9), float("-inf"))
    seen.record(nothing, nothing)
    seen.record(torch.zeros(1, 2, 9), nothing)
    assert seen.contrast_BS().isfinite().all()
