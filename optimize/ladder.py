"""The ladder: what is searched on each rung, and by which of Optuna's samplers.

1. the families of the paper, each by its own center and k: a Gaussian process;
2. the best of them, moved up and down at ten knots: a Gaussian process;
3. the best so far, moved at every step: CMA-ES.

On rungs 2 and 3 a move is followed by the projection onto the non-falling sequences in [0, 1],
clip(isotonic regression), so each step is a projected one. A move of zero is the start itself: no
rung ends below its start.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..schedules import ThetaSchedule, family, from_values

if TYPE_CHECKING:
    import optuna

REFERENCE_STEPS = 50
CENTERS, STEEPNESS = (0.0, 50.0), (0.05, 5.0)
PAPERS = {
    "sin": {"center": 12.0, "k": 0.8},
    "arctan": {"center": 12.0, "k": 0.5},
    "01": {"center": 12.0},
}
FIRST_CENTERS = (12.0, 4.0, 20.0, 24.0)
KNOTS = 10
FAR, NEAR = (
    0.25,
    0.15,
)  # how far a knot and a step may be moved; CMA-ES begins with a spread of a third of it
RESOLUTION = (
    3  # digits of theta: coarse enough for candidates to begin alike, and for 0 and 1 to be met
)
SHARES = {"sin": 0.18, "arctan": 0.18, "01": 0.09, "knots": 0.35, "steps": 0.2}  # of the candidates


@dataclasses.dataclass(frozen=True)
class Stage:
    """One study: `suggest` makes the schedule of a trial, `starts` are tried first, `sampler` takes
    a seed.
    """

    name: str
    suggest: Callable[[optuna.trial.BaseTrial], ThetaSchedule]
    starts: tuple[dict[str, float], ...]
    sampler: Callable[[int], optuna.samplers.BaseSampler]


def family_stage(shape: str) -> Stage:
    """A family of the paper by its center, and its k where it has one. The paper's own figures come
    first, then others around: the search itself goes on from there."""

    def suggest(trial: optuna.trial.BaseTrial) -> ThetaSchedule:
        parameters = {"center": trial.suggest_float("center", *CENTERS)}
        if "k" in PAPERS[shape]:
            parameters["k"] = trial.suggest_float("k", *STEEPNESS, log=True)
        return family(shape, **parameters, reference_steps=REFERENCE_STEPS)

    starts = tuple({**PAPERS[shape], "center": center} for center in FIRST_CENTERS)
    return Stage(shape, suggest, starts, lambda seed: gaussian_process(seed, len(starts)))


def knots_stage(start: Sequence[float]) -> Stage:
    """The start's theta, moved at a few knots, with straight lines between them."""
    steps = len(start)
    knots = min(KNOTS, steps)
    places = np.linspace(0, steps - 1, knots)

    def suggest(trial: optuna.trial.BaseTrial) -> ThetaSchedule:
        moves = [trial.suggest_float(f"knot {i}", -FAR, FAR) for i in range(knots)]
        return moved(start, np.interp(range(steps), places, moves))

    return Stage("knots", suggest, ({f"knot {i}": 0.0 for i in range(knots)},), gaussian_process)


def steps_stage(start: Sequence[float]) -> Stage:
    """The start's theta, moved at every step."""
    names = [f"step {t}" for t in range(len(start))]

    def suggest(trial: optuna.trial.BaseTrial) -> ThetaSchedule:
        return moved(start, [trial.suggest_float(name, -NEAR, NEAR) for name in names])

    def sampler(seed: int) -> optuna.samplers.BaseSampler:
        from optuna.samplers import CmaEsSampler

        # Separable: of a few dozen candidates no more can be learnt than how far to go at each
        # step.
        return CmaEsSampler(
            popsize=8, use_separable_cma=True, seed=seed, warn_independent_sampling=False
        )

    return Stage("steps", suggest, (dict.fromkeys(names, 0.0),), sampler)


def moved(start: Sequence[float], moves: Sequence[float]) -> ThetaSchedule:
    """The valid schedule nearest to start + moves, in least squares; without a move the start,
    digit for digit.
    """
    if not np.any(moves):
        return from_values(start, "learned")[0]
    schedule, _ = from_values([a + b for a, b in zip(start, moves, strict=True)], "learned")
    return from_values([round(theta, RESOLUTION) for theta in schedule.knots], "learned")[0]


def gaussian_process(seed: int, at_random: int = 5) -> optuna.samplers.BaseSampler:
    """at_random: how many trials come before the search by model; they are drawn at random where
    none are queued.
    """
    from optuna.samplers import GPSampler

    return GPSampler(seed=seed, n_startup_trials=at_random, warn_independent_sampling=False)
