"""Samplers of other packs, written and registered as packs do it: one noise for all images, or a
clear refusal.
"""

import functools

import comfy.k_diffusion.sampling
import comfy.patcher_extension
import comfy.samplers
import pytest
import torch

from coupled.attention import select_images
from coupled.sampling import couple, draw_shared_noise, sample_set
from coupled.sampling.noise import for_trial
from coupled.sampling.trial import try_sampler
from coupled.schedules import constant, step01

from tiny import count_calls, tiny_conditioning, tiny_coupled, tiny_flux

N, STEPS, SEED = 3, 4, 7
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(autouse=True)
def as_the_host_runs():
    with torch.inference_mode():
        yield


@pytest.fixture(scope="module")
def stock():
    return tiny_flux(gain=0.5)


@pytest.fixture(scope="module")
def positive():
    return tiny_coupled(N)


def empty(n=N):
    return {"samples": torch.zeros(n, 16, 8, 12)}


# --- how packs write samplers ---


def noised_euler(model, x, sigmas, extra_args, callback, draw, eta=0.5):
    """Euler, with noise between the steps that `draw` makes."""
    for i in range(len(sigmas) - 1):
        x0 = model(x, sigmas[i] * x.new_ones(x.shape[0]), **(extra_args or {}))
        if callback is not None:
            callback({"x": x, "i": i, "sigma": sigmas[i], "sigma_hat": sigmas[i], "denoised": x0})
        x = x0 + (x - x0) * sigmas[i + 1] / sigmas[i]
        if sigmas[i + 1] > 0 and eta > 0:
            x = x + 0.1 * eta * draw(x)
    return x


def draw_like(x):
    return torch.randn_like(x)


def draw_by_row(x):
    """From a generator of its own for each row, seeded by its place."""
    rows = [
        torch.randn(x.shape[1:], generator=torch.Generator().manual_seed(5 + i))
        for i in range(x.shape[0])
    ]
    return torch.stack(rows).to(x)


def draw_once(x):
    return torch.randn(x.shape[1:], generator=torch.Generator().manual_seed(5)).to(x)


def sample_helper(model, x, sigmas, extra_args=None, callback=None, disable=None, eta=0.5):
    return noised_euler(model, x, sigmas, extra_args, callback, draw_like, eta)


def sample_generator(model, x, sigmas, extra_args=None, callback=None, disable=None):
    return noised_euler(model, x, sigmas, extra_args, callback, draw_by_row)


def sample_drawing(draw, model, x, sigmas, extra_args=None, callback=None, disable=None):
    return noised_euler(model, x, sigmas, extra_args, callback, draw)


def sample_taking(
    model, x, sigmas, extra_args=None, callback=None, disable=None, noise_sampler=None
):
    take = noise_sampler or (lambda sigma, sigma_next: torch.randn_like(x))
    return noised_euler(model, x, sigmas, extra_args, callback, lambda _: take(1.0, 0.5))


class SampleCallable:
    def __call__(self, model, x, sigmas, extra_args=None, callback=None, disable=None):
        return noised_euler(model, x, sigmas, extra_args, callback, draw_like)


class ForeignSampler(comfy.samplers.Sampler):
    """No KSAMPLER: it calls the guider itself."""

    def __init__(self, draw):
        self.draw = draw

    def sample(self, model_wrap, sigmas, extra_args, callback, noise, *rest):
        options = {"model_options": extra_args["model_options"]}
        return noised_euler(model_wrap, noise, sigmas, options, None, self.draw)


def sample_choosy(draw, model, x, *args, **options):
    """A sampler that only runs on real pictures."""
    if x.shape[-1] < 8:
        raise RuntimeError("guide: the latent is too small")
    return sample_drawing(draw, model, x, *args, **options)


UNSHARED = {
    "helper": sample_helper,
    "generator": sample_generator,
    "drawing": functools.partial(sample_drawing, draw_like),
    "SampleCallable": SampleCallable(),
}
SHARED = {
    "taking": sample_taking,
    "partial_taking": functools.partial(sample_taking),
    "once": functools.partial(sample_drawing, draw_once),
    "still": functools.partial(sample_helper, eta=0.0),
}


@pytest.fixture
def register(monkeypatch):
    """Puts a sampler into the host's list, as packs do."""

    def add(name, function):
        names = [*comfy.samplers.KSampler.SAMPLERS, name]
        monkeypatch.setattr(comfy.samplers.KSampler, "SAMPLERS", names)
        module = comfy.k_diffusion.sampling
        monkeypatch.setattr(module, f"sample_{name}", function, raising=False)
        return name

    return add


def by_coupled_sampler(model, positive, sampler_name, latent=None, **options):
    return sample_set(model, positive, latent or empty(), SEED, STEPS, sampler_name, **options)[
        "samples"
    ]


def by_ksampler(model, positive, sampler_name, latent=None):
    import nodes

    return nodes.common_ksampler(
        model,
        SEED,
        STEPS,
        1.0,
        sampler_name,
        "simple",
        positive,
        tiny_conditioning(6, seed=90),
        latent or empty(),
    )[0]["samples"]


def by_sampler_object(model, positive, sampler):
    guider = comfy.samplers.CFGGuider(model)
    guider.inner_set_conds({"positive": positive})
    sigmas = torch.linspace(1, 0, STEPS + 1)
    noise = draw_shared_noise(empty(), SEED, N)
    return guider.sample(noise, empty()["samples"], sampler, sigmas, seed=SEED)


both = pytest.mark.parametrize("run", [by_coupled_sampler, by_ksampler])


# --- the trial ---


@both
@pytest.mark.parametrize("theta", [constant(0.5), step01(2, STEPS)], ids=["constant", "01"])
@pytest.mark.parametrize("name", UNSHARED)
def test_noise_that_is_not_shared_is_refused_before_the_model_is_called(
    stock, positive, register, name, theta, run
):
    register(f"pack_{name}", UNSHARED[name])
    model, calls = count_calls(couple(stock, theta, "paper"))
    with pytest.raises(ValueError, match=f"^Choose a sampler .*{name} draws noise of its own"):
        run(model, positive, f"pack_{name}")
    assert calls == []


@both
@pytest.mark.parametrize("name", SHARED)
def test_a_sampler_whose_noise_is_shared_makes_a_set(stock, positive, register, name, run):
    register(f"pack_{name}", SHARED[name])
    alike = run(couple(stock, constant(0.0)), positive, f"pack_{name}")
    assert torch.equal(alike, alike[:1].expand_as(alike)) and alike.std() > 1e-3
    made = run(couple(stock, constant(0.5)), positive, f"pack_{name}")
    assert (made[0] - made[1]).abs().max() > 1e-2


def test_a_set_of_one_is_what_the_pack_s_sampler_makes_of_it(stock, positive, register):
    register("pack_once", SHARED["once"])
    one, plain = select_images(positive, [1]), couple(stock, constant(0.5), "exact")
    theirs = by_ksampler(plain, one, "pack_once", empty(1))
    assert torch.equal(by_coupled_sampler(plain, one, "pack_once", empty(1)), theirs)


def test_a_sampler_of_another_kind_is_tried_as_well(stock, positive):
    model, calls = count_calls(couple(stock, constant(0.5), "paper"))
    with pytest.raises(ValueError, match="^Choose .*ForeignSampler"):
        by_sampler_object(model, positive, ForeignSampler(draw_like))
    assert calls == []
    by_sampler_object(model, positive, ForeignSampler(draw_once))
    assert calls == [N] * STEPS


@pytest.mark.parametrize("name", comfy.samplers.KSampler.SAMPLERS)
def test_the_trial_comes_to_an_end_with_every_sampler_of_the_host(stock, name):
    guider = comfy.samplers.CFGGuider(stock)
    guider.conds = {}
    sigmas = comfy.samplers.KSampler(stock, 20, "cpu", name, "simple").sigmas
    sampler = for_trial(comfy.samplers.sampler_object(name))
    before = torch.get_rng_state(), sigmas.clone()
    if name == "dpm_adaptive":
        with pytest.raises(ValueError, match="dpm_adaptive.*steps are chosen by all images"):
            try_sampler(guider, sampler, sigmas, 16)
    else:
        assert try_sampler(guider, sampler, sigmas, 16) is None
    assert torch.equal(torch.get_rng_state(), before[0]) and torch.equal(sigmas, before[1])


@pytest.mark.parametrize("steps", [2, 4, 50])
@pytest.mark.parametrize("denoise", [0.1, 0.5, 1.0])
@pytest.mark.parametrize("scheduler", ["simple", "karras", "beta"])
def test_dpm_adaptive_is_found_by_what_it_does(stock, steps, denoise, scheduler):
    guider = comfy.samplers.CFGGuider(stock)
    guider.conds = {}
    host = comfy.samplers.KSampler(stock, steps, "cpu", "dpm_adaptive", scheduler, denoise)
    sampler = for_trial(comfy.samplers.sampler_object("dpm_adaptive"))
    with pytest.raises(ValueError, match="dpm_adaptive"):
        try_sampler(guider, sampler, host.sigmas, 16)


def test_the_trial_takes_no_noise_from_a_given_noise_sampler(stock, positive):
    drawn = []

    def give(sigma, sigma_next):
        drawn.append(sigma)
        return torch.ones(N, 16, 8, 12)

    sampler = comfy.samplers.ksampler("euler_ancestral", {"noise_sampler": give})
    by_sampler_object(couple(stock, constant(0.5), "exact"), positive, sampler)
    assert len(drawn) == STEPS - 1 and sampler.extra_options == {"noise_sampler": give}


# --- the watch ---


@both
@pytest.mark.parametrize("mode", ["exact", "local"])
def test_where_no_trial_is_possible_the_run_shows_noise_that_is_not_shared(
    stock, positive, register, mode, run
):
    register("pack_choosy", functools.partial(sample_choosy, draw_by_row))
    model, calls = count_calls(couple(stock, step01(2, STEPS), mode))
    with pytest.raises(ValueError, match="^Choose a sampler .*choosy draws noise of its own"):
        run(model, positive, "pack_choosy")
    assert len(calls) == 1
    register("pack_good", functools.partial(sample_choosy, draw_once))
    made = run(model, positive, "pack_good")
    assert (made[0] - made[1]).abs().max() > 1e-2


@both
@pytest.mark.parametrize("mode", ["exact", "local", "paper"])
def test_what_neither_a_trial_nor_the_run_can_tell_is_refused(stock, positive, register, mode, run):
    register("pack_choosy", functools.partial(sample_choosy, draw_once))
    model = couple(stock, constant(0.5), mode)
    with pytest.raises(ValueError, match="another sampler.*choosy.*the latent is too small"):
        run(model, positive, "pack_choosy")


def test_the_watch_ends_with_its_run(stock, positive):
    model = couple(stock, step01(2, STEPS))
    before = repr(model.model_options), repr(model.wrappers)
    first = by_coupled_sampler(model, positive, "euler")
    assert (repr(model.model_options), repr(model.wrappers)) == before
    assert torch.equal(by_coupled_sampler(model, positive, "euler"), first)


def test_images_that_start_from_different_latents_and_masks_are_not_taken_for_noise(
    stock, positive
):
    generator = torch.Generator().manual_seed(1)
    latent = {
        "samples": torch.randn(N, 16, 8, 12, generator=generator),
        "noise_mask": torch.rand(N, 1, 64, 96, generator=generator).round(),
    }
    model = couple(stock, constant(0.0), "exact")
    made = by_coupled_sampler(model, positive, "euler_ancestral", latent, denoise=0.6)
    assert (made[0] - made[1]).abs().max() > 1e-2
