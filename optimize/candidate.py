"""A schedule that was tried, as the attributes of its trial keep it.

Of a trial of Optuna the user attributes tell: `theta` at each step; `set 0`, `set 1`, … the
measures of each pair of a set and a seed; `f_bg`, `f_ti` and `lost` over all of them; `calls` made
and saved; `seconds`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import TYPE_CHECKING

from ..metrics.score import Weights
from .meter import Measured, none_if_nan

if TYPE_CHECKING:
    import optuna


@dataclasses.dataclass(frozen=True)
class Candidate:
    """A schedule that was tried. measured: by the place of the pair of a set and a seed. value:
    what Optuna was told. calls: made and saved. complete: whether all pairs were measured.
    """

    stage: str
    thetas: tuple[float, ...]
    measured: dict[int, Measured]
    params: dict[str, float]
    value: float | None
    seconds: float
    calls: tuple[int, int]
    complete: bool

    def score(self, weights: Weights) -> float:
        """The mean combined score of what was measured."""
        return mean(one.score(weights) for one in self.measured.values())

    @property
    def lost(self) -> int:
        return sum(one.reason is not None for one in self.measured.values())

    @property
    def scored(self) -> list[Measured]:
        return [one for one in self.measured.values() if one.reason is None]

    @property
    def f_bg(self) -> float:
        """The mean over the sets that were not lost."""
        return mean(one.f_bg for one in self.scored)

    @property
    def f_ti(self) -> float:
        return mean(one.f_ti for one in self.measured.values())


def mean(numbers: Iterable[float]) -> float:
    """NaN of none."""
    numbers = list(numbers)
    return sum(numbers) / len(numbers) if numbers else float("nan")


def read_candidate(stage: str, trial: optuna.trial.FrozenTrial, pairs: int) -> Candidate:
    """The candidate of a trial that came to an end, of so many pairs of a set and a seed."""
    measured = read_measured(trial)
    attrs = trial.user_attrs
    return Candidate(
        stage,
        tuple(attrs["theta"]),
        measured,
        trial.params,
        trial.value,
        attrs["seconds"],
        tuple(attrs["calls"]),
        len(measured) == pairs,
    )


def read_measured(trial: optuna.trial.FrozenTrial | optuna.Trial) -> dict[int, Measured]:
    """What was measured of a trial so far."""
    return {
        int(key.removeprefix("set ")): Measured.from_list(value)
        for key, value in trial.user_attrs.items()
        if key.startswith("set ")
    }


def record_pair(trial: optuna.Trial, place: int, measured: Measured, score: float) -> None:
    """Writes down what was measured of one pair of a set and a seed."""
    trial.set_user_attr(f"set {place}", measured.as_list())
    trial.report(score, place)


def record_result(trial: optuna.Trial, candidate: Candidate, max_lost: float) -> None:
    """Writes down what came of a candidate, and by how much it exceeds the share of sets that may
    be lost.
    """
    attrs = {
        "f_bg": none_if_nan(candidate.f_bg),
        "f_ti": candidate.f_ti,
        "lost": candidate.lost,
        "calls": list(candidate.calls),
        "seconds": round(candidate.seconds, 2),
    }
    for key, value in attrs.items():
        trial.set_user_attr(key, value)
    trial.set_constraint("lost", candidate.lost / len(candidate.measured) - max_lost)


def estimate(scores: dict[int, float], best: dict[int, float]) -> float:
    """The mean over all sets of a candidate that was given up after some: the best one's, plus the
    mean difference.

    Sets differ more than candidates do, so the mean of the sets that it has seen would mislead the
    sampler.
    """
    both = scores.keys() & best.keys()
    if not both:
        return mean(scores.values())
    average = mean(best.values())
    return min(average, average + mean(scores[i] - best[i] for i in both))
