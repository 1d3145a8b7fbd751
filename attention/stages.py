"""Where in the sampling a run stands that is a part of a whole one: img2img, a second stage, split
sigmas. So theta goes on where the noise is.
"""

import math
from collections.abc import Iterator, Sequence

import numpy as np

from .progress import even

PROGRESS = "coupled_progress"  # of each sigma of the run, among its transformer_options
FIRST_GUESS, GUESSES, MOST_STEPS = 30, 8, 1000  # of the steps of a whole run
HALVINGS = 50


def run_progress(sampling, sampler, sigmas: Sequence[float]) -> list[float]:
    """How far the sampling is at each sigma of a run: 0 at full noise, 1 at none.

    sampling: the host's model_sampling. A whole run goes evenly from step to step, whatever its
    sigmas. A part of one goes on in the whole one, when it is one of a scheduler of the host; else
    by the model's own schedule of noise.
    """
    steps = len(sigmas) - 1
    if steps < 1 or is_whole(sampling, sigmas):
        return even(0, steps, max(steps, 1))
    for run in whole_runs(sampling, sampler, sigmas):
        first = nearest(run, sigmas[0])
        if agree(run[first : first + steps + 1], sigmas):
            return even(first, first + steps, len(run) - 1)
    by_noise = [progress_of(sampling, sigma) for sigma in sigmas]
    nearly_whole = by_noise[0] < 0.5 / steps and by_noise[-1] > 1 - 0.5 / steps
    return even(0, steps, steps) if nearly_whole else by_noise


def is_whole(sampling, sigmas: Sequence[float]) -> bool:
    return at_full_noise(sampling, sigmas[0]) and sigmas[-1] == 0


def at_full_noise(sampling, sigma: float) -> bool:
    """As the host judges it: nothing of a latent is left then."""
    most = float(sampling.sigma_max)
    return sigma > most or math.isclose(most, sigma, rel_tol=1e-5)


def noise_share(sampling, sigma: float) -> float:
    """How much of what a model is given at a noise level is noise, 0 to 1."""
    from comfy.model_sampling import CONST

    return sigma if isinstance(sampling, CONST) else sigma / (1 + sigma)


def whole_runs(sampling, sampler, sigmas: Sequence[float]) -> Iterator[list[float]]:
    """Runs of the host's schedulers that may have a part with these sigmas."""
    from comfy.samplers import SCHEDULER_NAMES

    several = len(sigmas) > 2  # one step alone would fit runs of several schedulers
    for name in SCHEDULER_NAMES if several else ("simple",):
        yield from runs_of(name, sampling, discards_penultimate(sampler), sigmas)


def runs_of(
    scheduler: str, sampling, discards: bool, sigmas: Sequence[float]
) -> Iterator[list[float]]:
    """Runs of one scheduler whose number of steps comes nearer and nearer to that of `sigmas`."""
    steps, tried = FIRST_GUESS, set()
    while 2 <= steps <= MOST_STEPS and steps not in tried and len(tried) < GUESSES:
        tried.add(steps)
        run = sigmas_of(sampling, scheduler, steps)
        if not run:
            return
        if discards:  # as the host's KSampler does for this sampler
            yield [*run[:-2], run[-1]]
        yield run
        steps = guess_steps(run, sigmas)


def sigmas_of(sampling, scheduler: str, steps: int) -> list[float]:
    """The sigmas of a scheduler's run; none where it fails: another pack's may not fit this model,
    and the user did not choose it.
    """
    from comfy.samplers import calculate_sigmas

    try:
        return calculate_sigmas(sampling, scheduler, steps).tolist()
    except Exception:
        return []


def guess_steps(run: Sequence[float], sigmas: Sequence[float]) -> int:
    """The number of steps at which a scheduler's run would be as fine as `sigmas`, from one of its
    runs; 0 when they do not fit it.
    """
    inner = sigmas[:-1] if len(sigmas) > 2 else sigmas  # the last step to 0 is of another length
    ends = [inner[0], inner[-1]]
    first, last = np.interp(np.negative(ends), np.negative(run), range(len(run)))
    return round((len(run) - 1) * (len(inner) - 1) / (last - first)) if last > first else 0


def discards_penultimate(sampler) -> bool:
    """Whether the host's KSampler leaves out the sigma before the last with this SAMPLER."""
    from comfy.samplers import KSampler, sampler_object

    names = KSampler.DISCARD_PENULTIMATE_SIGMA_SAMPLERS
    functions = {sampler_object(name).sampler_function.__name__ for name in names}
    function = getattr(sampler, "sampler_function", None)
    return getattr(function, "__name__", None) in functions


def nearest(run: Sequence[float], sigma: float) -> int:
    return min(range(len(run)), key=lambda t: abs(run[t] - sigma))


def agree(part: Sequence[float], sigmas: Sequence[float]) -> bool:
    return len(part) == len(sigmas) and np.allclose(part, sigmas, rtol=1e-5, atol=1e-7)


def progress_of(sampling, sigma: float) -> float:
    """Where the model's own schedule has a noise level: the inverse of percent_to_sigma."""
    low, high = 0.0, 1.0
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        if float(sampling.percent_to_sigma(middle)) > sigma:
            low = middle
        else:
            high = middle
    return (low + high) / 2
