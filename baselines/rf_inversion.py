"""The baseline RF-inversion (Rout et al. 2024): an image is turned back into noise and made again
with another prompt.

sigma is the noise level, x = (1-sigma)·x0 + sigma·noise, and v = noise - x0 = (x - x0)/sigma the
model's velocity.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import pairwise

import comfy.model_management
import comfy.utils
import torch
from comfy.model_sampling import CONST
from comfy.samplers import KSAMPLER

from ..attention.conditioning import Conditioning
from ..sampling.preview import SetProgress
from ..sampling.run import Run
from .common import check_share, encode, finish, plan_baseline, stock_image


def rf_inversion(
    model,
    clip,
    prompts: Sequence[str],
    latent: dict,
    seed: int,
    steps: int,
    sampler_name: str = "euler",
    scheduler: str = "simple",
    guidance: float = 3.5,
    gamma: float = 0.5,
    eta: float = 0.9,
    start: int = 0,
    stop: int | None = None,
) -> dict:
    """A LATENT [n, C, H, W]: the image of the first prompt, and what the other prompts make of it.

    gamma: the pull to the shared noise while inverting, with no text and guidance 0. eta: the pull
    to the first image at the steps start <= i < stop on the way back; stop None: a quarter of the
    steps. Both ways are Euler steps on the scheduler's sigmas; sampler_name is for the first image.
    latent: one row, used for every image, or n. ValueError if something does not fit, or the
    model is not a flow model.
    """
    check_control(model, latent, gamma, eta)
    run = plan_baseline(
        model, clip, prompts, latent, seed, steps, sampler_name, scheduler, guidance
    )
    pulled = steps_with_pull(start, stop, len(run.sigmas) - 1)
    n, passes = len(prompts), len(prompts) + 1
    texts, no_text = [encode(clip, prompt, guidance) for prompt in prompts], encode(clip, "", 0.0)
    progress = SetProgress(model, n, len(run.sigmas) - 1)
    source = stock_image(run, 0, texts[0], progress.callback([0], 0, passes))
    to_noise = KSAMPLER(invert, {"gamma": gamma, "least": smallest_sigma(model)})
    noise = sample_between(
        run, no_text, to_noise, run.noise_NCHW[:1], source, progress.callback([0], 1, passes)
    )
    noise = model.model.process_latent_in(noise)
    back = KSAMPLER(revert, {"eta": eta, "pulled": pulled})
    edits = [
        sample_between(run, text, back, noise, source, progress.callback([i], i + 1, passes))
        for i, text in enumerate(texts[1:], 1)
    ]
    return finish(latent, torch.cat((source.to(noise), *edits)))


def check_control(model, latent: dict, gamma: float, eta: float) -> None:
    """ValueError for shares outside [0, 1], a noise mask, or a model without a velocity."""
    check_share("gamma", gamma)
    check_share("eta", eta)
    if latent.get("noise_mask") is not None:
        raise ValueError("RF-inversion edits whole images: remove the noise mask from the latent.")
    if not isinstance(model.get_model_object("model_sampling"), CONST):
        raise ValueError("RF-inversion needs a flow model, such as Flux.1.")


def steps_with_pull(start: int, stop: int | None, steps: int) -> range:
    """The steps at which the way back is pulled to the source.

    ValueError if the end comes before the start.
    """
    stop = steps // 4 if stop is None else stop
    if not 0 <= start <= stop:
        raise ValueError(
            f"start is {start} and stop is {stop}; start must be 0 or more, and stop not below it."
        )
    return range(start, stop)


def smallest_sigma(model) -> float:
    """The smallest noise level that the model knows."""
    return float(model.get_model_object("model_sampling").sigma_min)


def sample_between(
    run: Run,
    text: Conditioning,
    sampler: KSAMPLER,
    noise: torch.Tensor,
    source: torch.Tensor,
    callback: Callable,
) -> torch.Tensor:
    """What the host's run of a sampler function below gives: [1, C, H, W], float32."""
    samples = (
        replace(run, positive=text)
        .guider(range(1))
        .sample(
            noise,
            source,
            sampler,
            run.sigmas.clone(),
            callback=callback,
            disable_pbar=not comfy.utils.PROGRESS_BAR_ENABLED,
            seed=run.seed,
        )
    )
    return samples.to(comfy.model_management.intermediate_device())


@torch.no_grad()
def invert(
    model, x, sigmas, extra_args=None, callback=None, disable=None, *, gamma: float, least: float
):
    """Sampler function from the source y0 (the latent) to noise: Y += [v + gamma·((y1-Y)/(1-t) -
    v)]·dt, t = sigma.

    y1 is the run's noise. At sigma 0 the host's model gives no velocity; there it is the one at
    sigma `least`.
    """
    y1, source = model.noise, model.latent_image
    y = source
    for i, t, t_next in sigma_steps(sigmas.flip(0), disable):
        v = velocity(model, y, max(t, least), extra_args)
        y = y + torch.lerp(v, (y1 - y) / (1 - t), gamma) * (t_next - t)
        report(callback, i, t, y, source)
    return y


@torch.no_grad()
def revert(
    model, x, sigmas, extra_args=None, callback=None, disable=None, *, eta: float, pulled: range
):
    """Sampler function from the inverted noise back: X += [-v + eta·((y0-X)/sigma_i + v)]·(sigma_i
    - sigma_{i+1}).

    y0 is the source (the latent); eta counts at the steps `pulled` only. With eta = 0 it is Euler's
    sampler.
    """
    x, source = model.noise, model.latent_image
    for i, sigma, sigma_next in sigma_steps(sigmas, disable):
        v = velocity(model, x, sigma, extra_args)
        report(callback, i, sigma, x, x - sigma * v)
        x = x + torch.lerp(-v, (source - x) / sigma, eta if i in pulled else 0.0) * (
            sigma - sigma_next
        )
    return x


def sigma_steps(sigmas: torch.Tensor, disable: bool | None) -> Iterator[tuple[int, float, float]]:
    """(i, sigma_i, sigma_{i+1}) of the steps that change sigma, with the host's progress bar."""
    levels = list(pairwise(sigmas.tolist()))
    for i in comfy.utils.model_trange(len(levels), disable=disable):
        if levels[i][0] != levels[i][1]:
            yield i, *levels[i]


def velocity(model, x_BCHW: torch.Tensor, sigma: float, extra_args: dict | None) -> torch.Tensor:
    """v = (x - x0)/sigma, [B, C, H, W]."""
    x0_BCHW = model(x_BCHW, x_BCHW.new_full((len(x_BCHW),), sigma), **(extra_args or {}))
    return (x_BCHW - x0_BCHW) / sigma


def report(
    callback: Callable | None, i: int, sigma: float, x: torch.Tensor, shown: torch.Tensor
) -> None:
    """Tells the host about a step, `shown` for its preview."""
    if callback is not None:
        callback({"i": i, "x": x, "sigma": sigma, "sigma_hat": sigma, "denoised": shown})
