"""Runs that are parts of a whole one (img2img, second stages, split sigmas): theta goes on where
the noise is, and mode local refuses a start that would show one image's subject in all.
"""

import comfy.model_sampling
import comfy.sample
import comfy.samplers
import pytest
import torch

from coupled.attention import select_images
from coupled.attention.progress import even
from coupled.attention.stages import progress_of, run_progress
from coupled.sampling import couple, sample_set
from coupled.schedules import sin, step01

from tiny import tiny_conditioning, tiny_coupled, tiny_flux, tiny_sample

N, STEPS = 2, 6
THETA = sin(center=2, k=0.8, reference_steps=STEPS)
EXACT_SCHEDULERS = ["simple", "sgm_uniform", "karras", "exponential", "beta", "kl_optimal"]


@pytest.fixture(scope="module")
def model():
    return tiny_flux(gain=0.5)


@pytest.fixture(scope="module")
def conditioning():
    return tiny_coupled(N)


@pytest.fixture(scope="module")
def sampling(model):
    return model.get_model_object("model_sampling")


def run(model, conditioning, **settings):
    return tiny_sample(model, conditioning, **{"batch": N, "steps": STEPS, **settings})


def different(n=N):
    generator = torch.Generator().manual_seed(5)
    return torch.randn(n, 16, 8, 12, generator=generator)


def alike(n=N):
    return different(1).repeat(n, 1, 1, 1)


def euler():
    return comfy.samplers.sampler_object("euler")


# --- theta ---


@pytest.mark.parametrize(
    "sampler, scheduler, cut",
    [("euler", "simple", 3), ("euler", "beta", 2), ("euler", "karras", 3), ("dpm_2", "simple", 3)],
)
def test_the_parts_of_a_split_run_give_what_one_run_gives(
    model, conditioning, sampler, scheduler, cut
):
    settings = {"sampler_name": sampler, "scheduler": scheduler}
    coupled = couple(model, THETA, "exact")
    whole = run(coupled, conditioning, **settings)
    first = run(coupled, conditioning, last_step=cut, **settings)
    ours = without_noise(coupled, conditioning, first, cut, settings)
    assert (whole[0] - whole[1]).abs().max() > 1e-2
    torch.testing.assert_close(ours, whole, rtol=0, atol=1e-5 * whole.abs().max().item())


def without_noise(model, conditioning, latent, start, settings):
    """As KSampler (Advanced) goes on from leftover noise, without adding any."""
    return comfy.sample.sample(
        model,
        torch.zeros_like(latent),
        steps=STEPS,
        cfg=1.0,
        positive=conditioning,
        negative=tiny_conditioning(6, seed=90),
        latent_image=latent,
        start_step=start,
        **{"sampler_name": "euler", "scheduler": "simple", **settings},
    )


@pytest.mark.parametrize("scheduler", EXACT_SCHEDULERS)
@pytest.mark.parametrize("steps", [8, 20, 30, 57])
def test_parts_of_the_hosts_schedulers_have_the_progress_of_the_whole_run(
    sampling, scheduler, steps
):
    sigmas = comfy.samplers.calculate_sigmas(sampling, scheduler, steps).tolist()
    steps = len(sigmas) - 1
    assert run_progress(sampling, euler(), sigmas) == even(0, steps, steps)
    for first, last in [(0, steps // 2), (steps // 2, steps), (steps // 4, steps // 2)]:
        part = run_progress(sampling, euler(), sigmas[first : last + 1])
        assert part == even(first, last, steps), (first, last)


@pytest.mark.parametrize("scheduler", ["normal", "ddim_uniform", "linear_quadratic"])
def test_parts_of_other_schedulers_are_at_most_one_step_off(sampling, scheduler):
    """The first half of a `normal` run is that of an `sgm_uniform` run with one step less."""
    sigmas = comfy.samplers.calculate_sigmas(sampling, scheduler, 20).tolist()
    steps = len(sigmas) - 1
    for first, last in [(0, steps // 2), (steps // 2, steps)]:
        part = run_progress(sampling, euler(), sigmas[first : last + 1])
        assert part == pytest.approx(even(first, last, steps), abs=1 / steps)


@pytest.mark.parametrize("name", ["uni_pc", "dpm_2"])
def test_samplers_for_which_the_host_leaves_out_a_sigma(model, sampling, name):
    ksampler = comfy.samplers.KSampler(model, 20, "cpu", name, "simple", 1.0)
    sigmas, sampler = ksampler.sigmas.tolist(), comfy.samplers.sampler_object(name)
    for first, last in [(0, 10), (10, 20), (5, 10), (0, 20)]:
        part = run_progress(sampling, sampler, sigmas[first : last + 1])
        assert part == even(first, last, 20)


def test_any_other_sigmas_go_by_the_models_own_schedule(sampling):
    """Those of nobody's scheduler; the first start is within a step of full noise."""
    assert run_progress(sampling, euler(), [1.0, 0.9, 0.3, 0.0]) == even(0, 3, 3)
    assert run_progress(sampling, euler(), [0.998, 0.9, 0.3, 0.0]) == even(0, 3, 3)
    wanted = [0.3, 0.41, 0.7, 1.0]
    sigmas = [sampling.percent_to_sigma(p) for p in wanted]
    assert run_progress(sampling, euler(), sigmas) == pytest.approx(wanted, abs=1e-6)
    assert run_progress(sampling, euler(), sigmas[::-1]) == pytest.approx(wanted[::-1], abs=1e-6)


class Discrete(comfy.model_sampling.ModelSamplingDiscrete, comfy.model_sampling.EPS):
    """Of models with noise levels up to 14 (SD 1.5)."""


class Flow(comfy.model_sampling.ModelSamplingDiscreteFlow, comfy.model_sampling.CONST):
    """Of SD3, Qwen-Image, Z-Image and others."""


@pytest.mark.parametrize("kind", [Discrete, Flow])
def test_other_kinds_of_noise_schedules(kind):
    sampling = kind()
    sigmas = comfy.samplers.calculate_sigmas(sampling, "simple", 20).tolist()
    assert run_progress(sampling, euler(), sigmas) == even(0, 20, 20)
    assert run_progress(sampling, euler(), sigmas[:11]) == even(0, 10, 20)
    assert run_progress(sampling, euler(), sigmas[10:]) == even(10, 20, 20)
    assert progress_of(sampling, sampling.percent_to_sigma(0.3)) == pytest.approx(0.3, abs=1e-4)
    assert progress_of(sampling, 0.0) == pytest.approx(1) and progress_of(sampling, 1e9) < 1e-6


def test_a_scheduler_of_another_pack_that_fails_harms_nobody(sampling, monkeypatch):
    def fail(model_sampling, steps):
        raise KeyError("only for another model")

    handler = comfy.samplers.SchedulerHandler(fail)
    monkeypatch.setitem(comfy.samplers.SCHEDULER_HANDLERS, "theirs", handler)
    monkeypatch.setattr(comfy.samplers, "SCHEDULER_NAMES", ["theirs", "simple"])
    sigmas = comfy.samplers.calculate_sigmas(sampling, "simple", 20).tolist()
    assert run_progress(sampling, euler(), sigmas[10:]) == even(10, 20, 20)


def test_with_denoise_only_the_rest_of_theta_is_used(model, conditioning):
    """theta is 1 from half of the run on: so from there each image is its entity's text alone."""
    late = {"denoise": 0.5, "latent_image": different()}
    ours = run(couple(model, step01(3, STEPS), "exact"), conditioning, **late)
    after = run(couple(model, step01(0, STEPS), "exact"), conditioning, **late)
    assert torch.equal(ours, after)


# --- the plate of mode local ---

REFUSED = "local cannot go on.*set mode of Coupled Attention to exact.*one Coupled Sampler"


@pytest.fixture(scope="module")
def local(model):
    return couple(model, THETA, "local")


@pytest.mark.parametrize(
    "settings",
    [
        {"start_step": 3},
        {"denoise": 0.35},
        {"noise_mask": torch.ones(1, 64, 96).tril()},
    ],
    ids=["second stage", "img2img", "inpainting"],
)
def test_local_refuses_a_start_that_differs_between_the_images(local, conditioning, settings):
    with pytest.raises(ValueError, match=REFUSED):
        run(local, conditioning, latent_image=different(), **settings)
    for start in (alike(), alike() * (1 + 1e-3 * torch.randn(N, 1, 1, 1))):  # rounding of a VAE
        assert run(local, conditioning, latent_image=start, **settings).isfinite().all()


def test_local_refuses_leftover_noise_that_differs_between_the_images(local, conditioning):
    with pytest.raises(ValueError, match=REFUSED):
        without_noise(local, conditioning, different(), 3, {})
    with pytest.raises(ValueError, match=REFUSED):
        without_noise(local, conditioning, different(), 0, {})


def test_what_a_latent_shows_is_gone_at_full_noise(local, conditioning):
    ours = run(local, conditioning, latent_image=different())
    assert torch.equal(ours, run(local, conditioning))
    mask = torch.ones(1, 64, 96)
    assert torch.equal(run(local, conditioning, latent_image=different(), noise_mask=mask), ours)


@pytest.mark.parametrize("images_per_pass", [0, 1])
def test_coupled_sampler_judges_the_whole_set_before_its_first_pass(
    local, conditioning, images_per_pass
):
    settings = {"seed": 7, "steps": STEPS, "denoise": 0.35, "images_per_pass": images_per_pass}
    with pytest.raises(ValueError, match=REFUSED):
        sample_set(local, conditioning, {"samples": different()}, **settings)
    one = sample_set(local, select_images(conditioning, [1]), {"samples": different(1)}, **settings)
    all_ = sample_set(local, conditioning, {"samples": alike()}, **settings)
    torch.testing.assert_close(one["samples"], all_["samples"][1:], rtol=0, atol=1e-5)


def test_exact_takes_any_start(model, conditioning):
    coupled, start = couple(model, THETA, "exact"), different()
    whole = run(coupled, conditioning, latent_image=start, denoise=0.5)
    for i in range(N):
        one = select_images(conditioning, [i])
        alone = run(coupled, one, batch=1, latent_image=start[i : i + 1], denoise=0.5)
        torch.testing.assert_close(alone, whole[i : i + 1], rtol=0, atol=1e-5)
