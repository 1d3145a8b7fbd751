"""The stages of the ladder: what each searches, and by which of Optuna's samplers.

1. the shapes of the paper, each by its own center and k: a Gaussian process;
2. the best of them, moved up and down at ten knots: a Gaussian process;
3. the best so far, moved at every step: CMA-ES.

In stages 2 and 3 a move is followed by the projection onto the non-falling sequences in [0, 1],
clip(isotonic regression), so each step is a projected one. A move of zero is the start itself: no
stage ends below its start.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np

from ..schedules import ThetaSchedule, family, from_values

if TYPE_CHECKING:
    import optuna

REFERENCE_STEPS = 50
CENTERS = (0.0, 50.0)
STEEPNESS = (0.05, 5.0)
PAPER_PARAMETERS = {
    "sin": {"center": 12.0, "k": 0.8},
    "arctan": {"center": 12.0, "k": 0.5},
    "01": {"center": 12.0},
}
SHAPES = tuple(PAPER_PARAMETERS)
KNOTS = "knots"
STEPS = "steps"
STAGES = (*SHAPES, KNOTS, STEPS)
FIRST_CENTERS = (12.0, 4.0, 20.0, 24.0)
KNOT_COUNT = 10
# How far a knot and a step may be moved; CMA-ES begins with a spread of a third of it.
KNOT_MOVE = 0.25
STEP_MOVE = 0.15
# Digits of theta: coarse enough for candidates to begin alike, and for 0 and 1 to be met.
RESOLUTION = 3


class Stage(Protocol):
    """What one study searches. `starts` are tried first."""

    @property
    def name(self) -> str: ...

    @property
    def starts(self) -> tuple[dict[str, float], ...]: ...

    def suggest(self, trial: optuna.trial.BaseTrial) -> ThetaSchedule:
        """The schedule of a trial."""

    def make_sampler(self, seed: int) -> optuna.samplers.BaseSampler: ...


@dataclasses.dataclass(frozen=True)
class ShapeStage:
    """A shape of the paper by its center, and its k where it has one. The paper's own figures come
    first, then others around: the search itself goes on from there.
    """

    name: str

    @property
    def starts(self) -> tuple[dict[str, float], ...]:
        return tuple({**PAPER_PARAMETERS[self.name], "center": c} for c in FIRST_CENTERS)

    def suggest(self, trial: optuna.trial.BaseTrial) -> ThetaSchedule:
        parameters = {"center": trial.suggest_float("center", *CENTERS)}
        if "k" in PAPER_PARAMETERS[self.name]:
            parameters["k"] = trial.suggest_float("k", *STEEPNESS, log=True)
        return family(self.name, **parameters, reference_steps=REFERENCE_STEPS)

    def make_sampler(self, seed: int) -> optuna.samplers.BaseSampler:
        return make_gaussian_process(seed, len(self.starts))


@dataclasses.dataclass(frozen=True)
class KnotsStage:
    """The start's theta, moved at a few knots, with straight lines between them."""

    start: Sequence[float]
    name: str = KNOTS

    @property
    def knots(self) -> list[str]:
        return [f"knot {i}" for i in range(min(KNOT_COUNT, len(self.start)))]

    @property
    def starts(self) -> tuple[dict[str, float], ...]:
        return (dict.fromkeys(self.knots, 0.0),)

    def suggest(self, trial: optuna.trial.BaseTrial) -> ThetaSchedule:
        steps = len(self.start)
        places = np.linspace(0, steps - 1, len(self.knots))
        moves = [trial.suggest_float(name, -KNOT_MOVE, KNOT_MOVE) for name in self.knots]
        return move(self.start, np.interp(range(steps), places, moves))

    def make_sampler(self, seed: int) -> optuna.samplers.BaseSampler:
        return make_gaussian_process(seed)


@dataclasses.dataclass(frozen=True)
class StepsStage:
    """The start's theta, moved at every step."""

    start: Sequence[float]
    name: str = STEPS

    @property
    def starts(self) -> tuple[dict[str, float], ...]:
        return ({f"step {t}": 0.0 for t in range(len(self.start))},)

    def suggest(self, trial: optuna.trial.BaseTrial) -> ThetaSchedule:
        moves = [trial.suggest_float(name, -STEP_MOVE, STEP_MOVE) for name in self.starts[0]]
        return move(self.start, moves)

    def make_sampler(self, seed: int) -> optuna.samplers.BaseSampler:
        from optuna.samplers import CmaEsSampler

        # Separable: a few dozen candidates can teach no more than how far to go at each step.
        return CmaEsSampler(
            popsize=8, use_separable_cma=True, seed=seed, warn_independent_sampling=False
        )


def make_stage(name: str, start: Sequence[float] | None) -> Stage:
    """A stage by its name; the shapes need no start."""
    if name in SHAPES:
        return ShapeStage(name)
    assert start is not None
    if name == KNOTS:
        return KnotsStage(start)
    return StepsStage(start)


def move(start: Sequence[float], moves: Sequence[float] | np.ndarray) -> ThetaSchedule:
    """The valid schedule nearest to start + moves, in least squares; without a move the start,
    digit for digit.
    """
    if not np.any(moves):
        return from_values(start, "learned")[0]
    schedule, _ = from_values([a + b for a, b in zip(start, moves, strict=True)], "learned")
    return from_values([round(theta, RESOLUTION) for theta in schedule.knots], "learned")[0]


def make_gaussian_process(seed: int, at_random: int = 5) -> optuna.samplers.BaseSampler:
    """at_random: how many trials come before the search by model; they are drawn at random where
    none are queued.
    """
    from optuna.samplers import GPSampler

    return GPSampler(seed=seed, n_startup_trials=at_random, warn_independent_sampling=False)
