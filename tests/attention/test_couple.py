"""The patch in the host: what it leaves untouched, how it cuts sets, which theta it takes, and what
it refuses.
"""

import pytest
import torch

from coupled.attention import coupled_mode, select_images
from coupled.attention.progress import even, step_position, theta_at
from coupled.sampling import couple
from coupled.schedules import constant, sin, step01

from compare import relative_error
from tiny import tiny_conditioning, tiny_coupled, tiny_flux, tiny_forward, tiny_latent, tiny_sample

N, L_BG, L_ENT = 3, 5, 7
THETA = sin(center=1.5, k=0.8, reference_steps=4)


@pytest.fixture(scope="module")
def model():
    return tiny_flux()


@pytest.fixture
def conditioning():
    return tiny_coupled(N, L_BG, L_ENT)


class BrokenTheta:
    def at(self, progress):
        return float("nan") if progress > 0.5 else 0.0


# --- what stays as it is ---


def snapshot(model):
    weights = {k: v.clone() for k, v in model.model.state_dict().items()}
    methods = {k: v.forward for k, v in model.model.named_modules()}
    options = (
        repr(model.model_options),
        repr(model.wrappers),
        dict(model.patches),
        model.object_patches.copy(),
    )
    return weights, methods, *options


def test_original_is_unchanged_and_bypass_is_stock(model, conditioning):
    before = snapshot(model)
    plain = tiny_conditioning(6)
    stock = tiny_sample(model, plain)
    coupled = couple(model, THETA)
    tiny_sample(coupled, conditioning)
    after = snapshot(model)
    assert (
        all(torch.equal(after[0][k], v) for k, v in before[0].items())
        and after[0].keys() == before[0].keys()
    )
    assert after[1:] == before[1:]
    assert torch.equal(tiny_sample(model, plain), stock)
    assert torch.equal(tiny_sample(coupled, plain), stock)
    assert (
        coupled_mode(coupled) is not None
        and coupled_mode(coupled.clone()) is not None
        and coupled_mode(model) is None
    )


def test_conditioning_is_not_written_to_and_a_second_run_is_the_same(model, conditioning):
    values = dict(conditioning[0][1])
    conds, context = dict(values["model_conds"]), conditioning[0][0].clone()
    coupled = couple(model, THETA)
    first = tiny_sample(coupled, conditioning)
    assert torch.equal(tiny_sample(coupled, conditioning), first)
    assert conditioning[0][1] == values and values["model_conds"] == conds
    assert torch.equal(conditioning[0][0], context)


def test_coupling_twice_counts_once(model, conditioning):
    again = couple(couple(model, constant(0.9)), THETA)
    assert torch.equal(
        tiny_sample(again, conditioning), tiny_sample(couple(model, THETA), conditioning)
    )


# --- sets in any cut ---


@pytest.mark.parametrize(
    "cut", [[[0], [1], [2]], [[2, 0], [1]], [[2, 1, 0]]], ids=["one by one", "chunks", "reversed"]
)
@pytest.mark.parametrize("mode", ["exact", "paper", "local"])
def test_any_cut_of_a_set_gives_the_same_images(model, conditioning, cut, mode):
    coupled = couple(model, THETA, mode)
    whole = tiny_sample(coupled, conditioning)
    for indices in cut:
        part = tiny_sample(coupled, select_images(conditioning, indices), batch=len(indices))
        assert relative_error(part, whole[indices]) <= 1e-5


def test_a_latent_that_does_not_match_is_refused(model, conditioning):
    coupled = couple(model, THETA)
    for batch in (1, 2, 4):
        cure, cause = "^Set the latent's batch_size to 3", f"set of 3 images.*batch of {batch}"
        with pytest.raises(ValueError, match=f"{cure}.*Coupled Sampler.*{cause}"):
            tiny_sample(coupled, conditioning, batch=batch)
    with pytest.raises(ValueError, match="set of 2 images"):
        tiny_sample(coupled, tiny_conditioning(4), select_images(conditioning, [0, 1]))


# --- theta in the run ---


def thetas_seen(model, conditioning, schedule, monkeypatch, **settings):
    import coupled.attention.texts as texts

    seen = []

    def spy(*args):
        seen.append(theta_at(*args))
        return seen[-1]

    monkeypatch.setattr(texts, "theta_at", spy)
    tiny_sample(couple(model, schedule), conditioning, **settings)
    return seen


def test_theta_is_exact_at_the_steps(model, conditioning, monkeypatch):
    schedule = sin(center=3, k=0.8, reference_steps=6)
    assert thetas_seen(model, conditioning, schedule, monkeypatch, steps=6) == schedule.values(6)


@pytest.mark.parametrize(
    "sampler", ["heun", "dpm_2", "euler_ancestral", "dpmpp_sde", "dpmpp_2m", "uni_pc"]
)
def test_theta_between_steps(model, conditioning, monkeypatch, sampler):
    schedule = sin(center=3, k=0.8, reference_steps=6)
    seen = thetas_seen(model, conditioning, schedule, monkeypatch, steps=6, sampler_name=sampler)
    values = schedule.values(6)
    assert set(values) <= set(seen)
    assert all(values[0] <= t <= schedule.at(1.0) for t in seen)


def test_step_position():
    sigmas = [1.0, 0.75, 0.5, 0.5, 0.25, 0.0]
    assert [step_position(s, sigmas) for s in (1.0, 0.75, 0.5, 0.25, 0.0)] == [0, 1, 3, 4, 5]
    assert (
        step_position(0.875, sigmas) == 0.5
        and step_position(1.2, sigmas) == 0
        and step_position(-0.1, sigmas) == 5
    )
    assert step_position(0.75 * (1 + 1e-6), sigmas) == 1
    assert step_position(0.625, sigmas[::-1]) == 3.5  # a run towards noise
    progress = even(0, 4, 4)
    assert theta_at(step01(2, 4), 1.5, progress) == 0.5
    assert theta_at(step01(2, 4), 2, progress) == 1.0


def test_a_direct_call_without_sigmas_says_so(model, conditioning):
    with pytest.raises(ValueError, match="sample_sigmas"):
        tiny_forward(
            couple(model, THETA), conditioning, tiny_latent(N), options={"sample_sigmas": None}
        )


# --- what is refused ---


def test_unknown_models_are_refused():
    flux2 = tiny_flux(global_modulation=True, ops_bias=False, txt_ids_dims=[2])
    with pytest.raises(ValueError, match="does not know this kind of model.*works with: Flux.1"):
        couple(flux2, THETA)


def test_nunchaku_is_refused(model):
    class ComfyFluxWrapper(torch.nn.Module):
        """Stands for nunchaku's class, which the host cannot load here."""

    wrapped = model.clone()
    wrapped.add_object_patch("diffusion_model", ComfyFluxWrapper())
    with pytest.raises(ValueError, match="nunchaku.*ignore the host's attention override"):
        couple(wrapped, THETA)


def test_bad_theta_and_mode_are_refused(model):
    with pytest.raises(ValueError, match="gives nan at 51% of the sampling"):
        couple(model, BrokenTheta())
    with pytest.raises(ValueError, match="Unknown mode 'soft'"):
        couple(model, THETA, "soft")
