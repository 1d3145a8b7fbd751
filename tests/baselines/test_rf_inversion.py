"""RF-inversion against a literal loop, and the settings at which it must give back what is
known.
"""

import pytest
import torch
from comfy.samplers import KSAMPLER, KSampler

from coupled.baselines import random_seed, rf_inversion
from coupled.baselines.common import encode, plan_baseline, stock_image
from coupled.baselines.rf_inversion import invert, revert, sample_between, smallest_sigma
from coupled.mini.model import load_mini

PROMPTS = [
    "An eagle soars gracefully in a vibrant meadow under a clear blue sky.",
    "A red fox runs in a vibrant meadow under a clear blue sky.",
]
SEED, STEPS = 7, 6
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(autouse=True)
def as_the_host_runs():
    with torch.inference_mode():
        yield


@pytest.fixture(scope="module")
def mini():
    return load_mini()[:2]


def latent():
    return {"samples": torch.zeros(1, 16, 16, 16)}


def run(mini, **options):
    options = {"seed": SEED, "steps": STEPS, **options}
    return rf_inversion(*mini, PROMPTS, latent(), **options)["samples"]


def seeds(mini, **options):
    return random_seed(*mini, PROMPTS, latent(), **{"seed": SEED, "steps": STEPS, **options})[
        "samples"
    ]


def relative(a, b):
    return ((a - b).square().mean() / b.square().mean()).sqrt().item()


def literal(mini, source, noise, sigmas, gamma, eta, start, stop):
    """METHOD.md's two loops on direct calls of the diffusion model, which gives v itself; no
    sampler, no guider.
    """
    model, clip = mini

    def velocity(x, sigma, prompt, guidance):
        context, pooled = clip.encode_from_tokens(clip.tokenize(prompt), return_pooled=True)
        return model.model.diffusion_model(
            x, torch.tensor([sigma]), context, y=pooled, guidance=torch.tensor([guidance])
        )

    y0, y1, N = model.model.process_latent_in(source), noise, len(sigmas) - 1
    Y = y0
    for k in range(N, 0, -1):
        t, dt = sigmas[k], sigmas[k - 1] - sigmas[k]
        v = velocity(Y, max(t, smallest_sigma(model)), "", 0.0)
        Y = Y + (v + gamma * ((y1 - Y) / (1 - t) - v)) * dt
    X = Y
    for i in range(N):
        t_i = 1 - sigmas[i]
        v = velocity(X, sigmas[i], PROMPTS[1], 3.5)
        eta_i = eta if start <= i < stop else 0
        X = X + (-v + eta_i * ((y0 - X) / (1 - t_i) + v)) * (sigmas[i] - sigmas[i + 1])
    return model.model.process_latent_out(X)


@pytest.mark.parametrize("scheduler", ["simple", "beta"])
@pytest.mark.parametrize("control", [{}, {"gamma": 0.3, "eta": 0.6, "start": 1, "stop": 4}])
def test_equals_a_literal_loop(mini, control, scheduler):
    source, edit = run(mini, scheduler=scheduler, **control).split(1)
    noise = torch.randn(1, 16, 16, 16, generator=torch.manual_seed(SEED))
    sigmas = KSampler(mini[0], STEPS, "cpu", "euler", scheduler, 1.0, {}).sigmas.tolist()
    control = {"gamma": 0.5, "eta": 0.9, "start": 0, "stop": STEPS // 4, **control}
    assert torch.equal(source, seeds(mini, scheduler=scheduler)[:1])
    assert relative(edit, literal(mini, source, noise, sigmas, **control)) < 1e-4


def test_pulled_at_all_steps_it_gives_the_source_back(mini):
    source, edit = run(mini, eta=1.0, stop=STEPS)
    assert relative(edit, source) < 1e-5


@pytest.mark.parametrize("scheduler", ["simple", "normal", "beta", "sgm_uniform"])
def test_with_all_of_the_noise_and_no_pull_it_is_the_stock_model(mini, scheduler):
    """gamma 1 ends in the shared noise itself, and the way back is Euler's."""
    images = run(mini, gamma=1.0, eta=0.0, scheduler=scheduler)
    assert relative(images, seeds(mini, scheduler=scheduler)) < 1e-4


def there_and_back(mini, steps):
    """The relative error of a source that was inverted and made again with the same text and no
    control.
    """
    model, clip = mini
    settings = plan_baseline(model, clip, PROMPTS, latent(), SEED, steps, "euler", "simple", 3.5)
    source = stock_image(settings, 0, encode(clip, PROMPTS[0], 3.5), lambda *step: None)
    text, nothing = encode(clip, "", 0.0), lambda *step: None
    to_noise = KSAMPLER(invert, {"gamma": 0.0, "least": smallest_sigma(model)})
    noise = sample_between(settings, text, to_noise, settings.noise_NCHW[:1], source, nothing)
    noise = model.model.process_latent_in(noise)
    back = sample_between(
        settings, text, KSAMPLER(revert, {"eta": 0.0, "pulled": range(0)}), noise, source, nothing
    )
    return relative(back, source)


@pytest.mark.slow
def test_inverted_and_made_anew_the_source_comes_back(mini):
    """Without control both ways follow one path; what is left is Euler's error, of first order in
    the step.
    """
    coarse, fine = there_and_back(mini, 10), there_and_back(mini, 40)
    assert fine < 0.1 and fine < 0.5 * coarse


def test_more_pull_is_nearer_to_the_source(mini):
    images = [run(mini, steps=8, stop=stop) for stop in (0, 3, 7)]
    errors = [relative(edit, source) for source, edit in images]
    assert errors == sorted(errors, reverse=True) and errors[-1] < 0.6 * errors[0]


@pytest.mark.parametrize(
    "change, words",
    [
        ({"gamma": -0.1}, "gamma must be a number from 0 to 1"),
        ({"eta": float("nan")}, "eta must be a number from 0"),
        ({"start": 3, "stop": 2}, "start is 3 and stop is 2"),
        ({"start": -1, "stop": 2}, "start must be 0 or more"),
    ],
)
def test_unfit_control_is_refused(mini, change, words):
    with pytest.raises(ValueError, match=words):
        run(mini, **change)


def test_a_noise_mask_is_refused(mini):
    masked = {**latent(), "noise_mask": torch.ones(1, 128, 128)}
    with pytest.raises(ValueError, match="remove the noise mask"):
        rf_inversion(*mini, PROMPTS, masked, SEED, STEPS)


def test_a_model_without_velocity_is_refused(mini):
    from comfy.model_sampling import EPS, ModelSamplingDiscrete

    class Eps(ModelSamplingDiscrete, EPS):
        """Stable Diffusion's."""

    model = mini[0].clone()
    model.add_object_patch("model_sampling", Eps())
    with pytest.raises(ValueError, match="needs a flow model"):
        run((model, mini[1]))
