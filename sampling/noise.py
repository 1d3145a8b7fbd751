"""One noise for the whole set: at the start, and at every step of a stochastic sampler.

Image 0's noise is what the host would draw for a batch of one with the same seed; all other images
get the same. So neither the number of images nor the way they are separated into passes changes
an image.
"""

import copy
import functools
import inspect
import logging
import re
from collections.abc import Callable, Sequence

import comfy.sample
import torch
from comfy.k_diffusion.sampling import BrownianTreeNoiseSampler, default_noise_sampler
from comfy.samplers import KSAMPLER

from .alike import alike
from .checks import check_plain
from .trial import try_sampler, watch

# (sigma, sigma_next) -> noise like x
NoiseSampler = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]

# The functions of the host that draw from a Brownian tree, which stays right where intervals of
# sigma overlap; all others draw afresh at each call. (tests: every sampler at n = 1 equals the
# host's own.)
BROWNIAN = re.compile(r"sample_dpmpp_(\w+_)?sde(_\w+)?")


def draw_shared_noise(latent: dict, seed: int, n: int) -> torch.Tensor:
    """One draw for n images, [n, C, H, W], on the CPU: what the host draws for a batch of one.

    latent: a LATENT. Of its `batch_index` the first entry chooses the draw, as in the host.
    ValueError if it holds several tensors (sound and picture, say).
    """
    samples, index = latent["samples"], latent.get("batch_index")
    check_plain(samples)
    return repeat_row(
        comfy.sample.prepare_noise(samples[:1], seed, None if index is None else index[:1]), n
    )


def repeat_row(noise: torch.Tensor, n: int) -> torch.Tensor:
    """Row 0, n times."""
    return noise[:1].repeat(n, *[1] * (noise.ndim - 1))


def in_lockstep(guider, sampler, sigmas: torch.Tensor, start: Sequence[torch.Tensor]):
    """A copy of a SAMPLER that hands the noise of one image to all, for the run that a guider
    begins. start: what else the run starts from, one row per image.

    ValueError if the sampler's noise cannot be shared, here or once the run shows it.
    """
    if not isinstance(sampler, KSAMPLER):
        logging.warning(
            "Coupled: %s is not one of the host's samplers; if it draws noise between the steps,"
            " that cannot be shared, and the run is refused.",
            type(sampler).__name__,
        )
    untried = try_sampler(guider, for_trial(sampler), sigmas, start[0].shape[1])
    watch(guider, sampler, all(map(alike, start)), untried)
    return sharing(sampler)


def sharing(sampler):
    """A copy of a SAMPLER that hands the noise of one image to all, where that can be done."""
    if not isinstance(sampler, KSAMPLER):
        return sampler
    sampler = copy.copy(sampler)  # the host's object may serve other runs
    sampler.sampler_function = with_one_noise(sampler.sampler_function)
    return sampler


def for_trial(sampler):
    """A SAMPLER as it is tried: one that resumes a run stands for the whole one, and a noise
    sampler that was given keeps its draws for the run.
    """
    sampler = sharing(getattr(sampler, "stands_for", sampler))
    if isinstance(sampler, KSAMPLER):
        options = {k: v for k, v in sampler.extra_options.items() if k != "noise_sampler"}
        sampler.extra_options = options
    return sampler


def takes_noise(function: Callable) -> bool:
    try:
        return "noise_sampler" in inspect.signature(function).parameters
    except (TypeError, ValueError):  # built in
        return False


def with_one_noise(function: Callable) -> Callable:
    """A sampler function like `function`, whose noise is one image's, handed to all."""

    @functools.wraps(function)
    def run(model, x, sigmas, extra_args=None, callback=None, disable=None, **options):
        n = x.shape[0]
        # The noise of masked areas: ddim draws it again, different for each image.
        model.noise = repeat_row(model.noise, n)
        if takes_noise(function) and len(sigmas) > 1:
            given = options.get("noise_sampler") or host_noise(
                function, x[:1], sigmas, (extra_args or {}).get("seed")
            )
            options["noise_sampler"] = lambda sigma, sigma_next: repeat_row(
                given(sigma, sigma_next), n
            )
        return function(
            model, x, sigmas, extra_args=extra_args, callback=callback, disable=disable, **options
        )

    return run


def host_noise(
    function: Callable, x_1CHW: torch.Tensor, sigmas: torch.Tensor, seed: int | None
) -> NoiseSampler:
    """The noise sampler that a sampler function of the host makes for itself for a batch of one."""
    name = getattr(function, "__name__", "")
    if not BROWNIAN.fullmatch(name):
        return default_noise_sampler(x_1CHW, seed=seed)
    low, high = sigmas[sigmas > 0].min(), sigmas.max()
    return BrownianTreeNoiseSampler(x_1CHW, low, high, seed=seed, cpu=not name.endswith("_gpu"))
