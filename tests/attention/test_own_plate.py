"""The user's own picture as the plate, masks of where subjects may stand, and a run's report."""

import logging

import pytest
import torch

import coupled.attention.plate_run as plate_run
from coupled.attention import select_images
from coupled.attention.report import Report
from coupled.mini.model import mini_vae
from coupled.nodes.coupling import CoupledModelPatch
from coupled.nodes.images import CoupledDecode
from coupled.nodes.sampling import CoupledSampler
from coupled.sampling import couple, sample_set
from coupled.schedules import constant, sin
from nodes import VAEDecode

from compare import relative_error
from tiny import tiny_conditioning, tiny_coupled, tiny_flux

N, STEPS, SEED = 3, 6, 7
THETA = sin(center=1.5, k=0.8, reference_steps=STEPS)


@pytest.fixture(scope="module")
def model():
    return tiny_flux(gain=0.5)


@pytest.fixture(scope="module")
def positive():
    return tiny_coupled(N)


def photo(seed=5):
    return torch.randn(1, 16, 16, 24, generator=torch.Generator().manual_seed(seed))


def box():
    """One mask, in pixels, and the same in latent pixels."""
    mask = torch.zeros(1, 128, 192)
    mask[0, 32:64, 48:96] = 1
    own = torch.zeros(16, 24, dtype=torch.bool)
    own[4:8, 6:12] = True
    return mask, own


def run(model, positive, theta=THETA, plate=None, regions=None, steps=STEPS, **options):
    """The samples of mode local, and the report."""
    report = Report()
    latent = options.pop("latent", {"samples": torch.zeros(1, 16, 16, 24)})
    coupled = couple(model, theta, "local", plate, regions)
    made = sample_set(coupled, positive, latent, SEED, steps, report=report, **options)
    return made["samples"], report


# --- a picture of one's own ---


@pytest.mark.parametrize("sampler_name", ["euler", "heun", "dpmpp_2m_sde", "uni_pc"])
@pytest.mark.parametrize("steps", [2, 4, 12])
def test_outside_the_masks_every_image_is_the_picture_to_the_bit(
    model, positive, sampler_name, steps
):
    mask, own = box()
    out, report = run(
        model, positive, plate=photo(), regions=mask, steps=steps, sampler_name=sampler_name
    )
    assert torch.equal(out[:, :, ~own], photo()[:, :, ~own].expand(N, -1, -1))
    assert torch.equal(report.plate(), photo())
    assert (out[0] != out[1]).any() and (report.masks(1)[:, ~own] == 0).all()


def test_without_a_mask_the_subjects_are_found(model, positive):
    out, report = run(model, positive, plate=photo())
    own = report.masks(1) > 0
    for i in range(N):
        assert torch.equal(out[i][:, ~own[i]], photo()[0][:, ~own[i]])
    assert 0 < own.float().mean() < 1


def test_while_theta_is_0_the_images_are_the_picture(model, positive):
    seen = []
    out, _ = run(
        model,
        positive,
        theta=constant(0.0),
        plate=photo(),
        callback=lambda images, step, x0, x, total: seen.append(x0.clone()),
    )
    assert torch.equal(out, photo().expand(N, -1, -1, -1))
    inner = model.model.process_latent_in(photo()).expand(N, -1, -1, -1)
    assert len(seen) == STEPS and all(relative_error(x0, inner) <= 1e-6 for x0 in seen)


def test_the_picture_leads_what_subjects_see(model, positive):
    """In the mask the images are not those of another picture."""
    mask, own = box()
    out, _ = run(model, positive, plate=photo(), regions=mask)
    other, _ = run(model, positive, plate=photo(6), regions=mask)
    assert (out - other)[:, :, own].abs().max() > 1e-2


def test_a_later_set_with_the_saved_plate_has_the_same_background(model, positive):
    mask, own = box()
    first, report = run(model, positive, regions=mask)
    second, _ = run(model, tiny_coupled(2, seed=50), plate=report.plate(), regions=mask)
    assert torch.equal(second[:, :, ~own], first[:2, :, ~own])
    assert (second[0] != first[0])[:, own].any()


def test_one_more_image_of_the_same_set_has_the_same_background(model, positive):
    mask, own = box()
    whole, _ = run(model, positive, regions=mask)
    alone, _ = run(model, select_images(positive, [2]), regions=mask)
    assert relative_error(alone, whole[2:]) <= 1e-5


def test_any_passes_with_a_picture_give_the_same(model, positive):
    whole, _ = run(model, positive, plate=photo())
    for size in (1, 2):
        parts, report = run(model, positive, plate=photo(), images_per_pass=size)
        assert relative_error(parts, whole) <= 1e-5 and len(report.masks(8)) == N


def test_a_picture_needs_no_equal_start(model, positive):
    """The plate does not begin with the first image's latent then."""
    latent = {"samples": torch.randn(N, 16, 16, 24, generator=torch.Generator().manual_seed(1))}
    mask, own = box()
    out, _ = run(model, positive, plate=photo(), regions=mask, latent=latent, denoise=0.6)
    assert torch.equal(out[:, :, ~own], photo()[:, :, ~own].expand(N, -1, -1))


def test_under_cfg_and_in_a_noise_mask(model, positive):
    mask, own = box()
    negative = tiny_conditioning(6, seed=90)
    out, _ = run(model, positive, plate=photo(), regions=mask, negative=negative, cfg=3.0)
    assert torch.equal(out[:, :, ~own], photo()[:, :, ~own].expand(N, -1, -1))
    latent = {"samples": photo(), "noise_mask": torch.ones(1, 128, 192).tril()}
    out, _ = run(model, positive, regions=mask, latent=latent)
    assert torch.equal(out[:, :, ~own], out[:1, :, ~own].expand(N, -1, -1))


def test_a_run_that_ends_in_noise_keeps_the_picture_in_it_and_none_goes_on(model, positive):
    import comfy.sample
    import comfy.samplers

    mask, own = box()
    coupled = couple(model, constant(1.0), "local", plate=photo(), regions=mask)
    noise = torch.randn(1, 16, 16, 24, generator=torch.Generator().manual_seed(2))
    settings = {
        "steps": STEPS,
        "cfg": 1.0,
        "sampler_name": "euler",
        "scheduler": "simple",
        "positive": positive,
        "negative": tiny_conditioning(6, seed=90),
    }
    noise, latent = noise.expand(N, -1, -1, -1), torch.zeros(N, 16, 16, 24)
    half = comfy.sample.sample(coupled, noise, latent_image=latent, last_step=3, **settings)
    sampling = model.get_model_object("model_sampling")
    sigma = comfy.samplers.calculate_sigmas(sampling, "simple", STEPS)[3]
    x0 = model.model.process_latent_in(photo())
    noisy = sampling.noise_scaling(sigma, noise[:1], x0) / (1 - sigma)
    expected = model.model.process_latent_out(noisy).expand(N, -1, -1, -1)
    assert relative_error(half[:, :, ~own], expected[:, :, ~own]) <= 1e-4
    with pytest.raises(ValueError, match="leftover noise.*all steps at once"):
        comfy.sample.sample(
            coupled, torch.zeros_like(noise), latent_image=half, start_step=3, **settings
        )


# --- what does not fit ---


@pytest.mark.parametrize(
    "settings, words",
    [
        ({"plate": photo().repeat(2, 1, 1, 1)}, "plate.*latent of.*one picture"),
        ({"plate": photo()[..., :8]}, r"plate.*\[1, 16, 16, 8\].*\[1, 16, 16, 24\]"),
        ({"plate": photo() * float("nan")}, "plate.*NaN"),
        ({"regions": torch.ones(2, 8, 8)}, "^Connect one mask.*batch of 2.*set is one of 3"),
        ({"regions": torch.ones(8, 8)}, "regions.*one MASK"),
        ({"regions": torch.full((1, 8, 8), float("nan"))}, "regions.*NaN"),
    ],
)
def test_what_does_not_fit_is_named(model, positive, settings, words):
    with pytest.raises(ValueError, match=words):
        run(model, positive, **settings)


@pytest.mark.parametrize("mode", ["exact", "paper"])
def test_other_modes_have_no_plate(model, mode):
    with pytest.raises(ValueError, match=f"count in mode local only.*{mode}"):
        couple(model, THETA, mode, plate=photo())


# --- masks ---


@pytest.mark.parametrize("size", [(16, 24), (128, 192), (100, 37), (8, 12), (2, 2)])
def test_masks_of_any_size(model, positive, size):
    """A token is in if any of its pixels is."""
    mask = torch.zeros(1, *size)
    mask[:, : size[0] // 2, : size[1] // 2] = 1
    out, report = run(model, positive, theta=constant(1.0), regions=mask)
    own = report.masks(1).any(0)
    assert own.any() and not own[9:].any() and not own[:, 14:].any()
    assert torch.equal(out[:, :, ~own], out[:1, :, ~own].expand(N, -1, -1))


def test_a_noise_mask_of_its_own_stays_an_images_own(model, positive):
    masks = torch.ones(N, 128, 192)
    masks[1, :, :96] = 0
    latent = {"samples": photo(), "noise_mask": masks}
    out, report = run(model, positive, latent=latent)
    assert (out[1, :, :, :12] - photo()[0, :, :, :12]).abs().max() < 1e-5
    assert (report.masks(1)[1, :, :12] == 1).all()


# --- what is reported ---


def test_a_set_costs_less_than_its_pictures_and_says_so(model, positive, caplog):
    mask, _ = box()
    with caplog.at_level(logging.INFO):
        _, report = run(model, positive, regions=mask, steps=20)
    assert 1 < report.pictures < N
    assert f"3 pictures in {report.pictures:.1f} pictures' time" in caplog.text
    assert report.lines()[1].startswith("background identical outside")
    exact = couple(model, THETA, "exact")
    nothing = Report()
    sample_set(exact, positive, {"samples": torch.zeros(1, 16, 16, 24)}, SEED, 2, report=nothing)
    assert nothing.lines() == [] and nothing.plate() is None and nothing.masks(8) is None


def test_whole_pictures_cost_one_more_than_there_are(model, positive):
    """With theta 1 from the first step on, but for the steps that look for the subjects, in which
    both texts count.
    """
    everywhere = torch.ones(1, 1, 1)
    _, report = run(model, positive, theta=constant(1.0), regions=everywhere, steps=50)
    assert report.pictures <= N + 1.2


def test_a_subject_that_cannot_be_told_is_said_aloud_and_left_whole(
    model, positive, monkeypatch, caplog
):
    find = plate_run.find_region

    def all_of_the_last(*args):
        found = find(*args)
        found[-1] = True
        return found

    monkeypatch.setattr(plate_run, "find_region", all_of_the_last)
    out, report = run(model, positive)
    assert report.lost == [2] and (report.masks(8)[2] == 1).all()
    assert "image 3: its subject cannot be told from the background" in caplog.text
    assert run(model, positive, images_per_pass=1)[1].lost == [0, 1, 2]  # each is the last one then


def test_the_nodes_hand_plate_and_masks_over(model, positive):
    mask, own = box()
    patched = CoupledModelPatch.execute(model, THETA, "local", {"samples": photo()}, mask).result[0]
    latent = {"samples": torch.zeros(1, 16, 16, 24)}
    output = CoupledSampler.execute(patched, positive, latent, SEED, 4, "euler", "simple", 1.0, 0)
    made, plate, masks = output.result
    assert torch.equal(plate["samples"], photo()) and masks.shape == (N, 128, 192)
    assert set(masks.unique().tolist()) <= {0.0, 1.0}
    assert torch.equal(made["samples"][:, :, ~own], photo()[:, :, ~own].expand(N, -1, -1))
    assert "pictures' time" in output.ui.as_dict()["text"][0]


def test_in_other_modes_all_of_an_image_is_its_own_and_who_asks_for_the_plate_is_told(
    model, positive
):
    patched = CoupledModelPatch.execute(model, THETA, "exact").result[0]
    latent = {"samples": torch.zeros(1, 16, 16, 24)}
    output = CoupledSampler.execute(patched, positive, latent, SEED, 2, "euler", "simple", 1.0, 0)
    made, plate, masks = output.result
    assert masks.shape == (N, 128, 192) and (masks == 1).all()
    assert "nearly the same" in output.ui.as_dict()["text"][0]
    with pytest.raises(ValueError, match="Set mode to local, or disconnect the plate"):
        VAEDecode().decode(mini_vae(), plate)
    images = CoupledDecode.execute(made, mini_vae(), plate, masks).result[0]
    assert torch.allclose(images, VAEDecode().decode(mini_vae(), made)[0], atol=1e-5)
