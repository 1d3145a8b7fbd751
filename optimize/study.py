"""One learning in a storage: a study for each stage of the ladder, and what its candidates say.

Of a candidate (a trial of Optuna) the user attributes tell: `theta` at each step; `set 0`, `set 1`,
… the measures of each pair of a set and a seed; `f_bg`, `f_ti` and `lost` over all of them; `calls`
made and saved; `seconds`.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from ..metrics.score import Weights
from .ladder import Stage
from .meter import Measured

if TYPE_CHECKING:
    import optuna

READY, START = "ready", "start"
PATIENCE = 60  # seconds for another worker to fill a study that it has made
SURE, FEWEST = (
    0.1,
    6,
)  # of Wilcoxon's test: the risk of giving up a good candidate, and the pairs it needs


def open_study(
    storage,
    name: str,
    start: Callable[[], Sequence[float] | None],
    stage: Callable[[Sequence[float] | None], Stage],
) -> tuple[optuna.Study, Stage]:
    """The study of a stage; whoever comes first chooses where it starts and queues what it tries
    first.
    """
    import optuna

    pruner = optuna.pruners.WilcoxonPruner(p_threshold=SURE, n_startup_steps=FEWEST)
    try:
        study = optuna.create_study(
            storage=storage, study_name=name, direction="maximize", pruner=pruner
        )
    except optuna.exceptions.DuplicatedStudyError:
        study = optuna.load_study(storage=storage, study_name=name, pruner=pruner)
        end = time.monotonic() + PATIENCE
        while not study.user_attrs.get(READY) and time.monotonic() < end:
            time.sleep(0.2)
    if not study.user_attrs.get(READY):
        study.set_user_attr(START, start())
        for params in stage(study.user_attrs[START]).starts:
            study.enqueue_trial(params, skip_if_exists=True)
        study.set_user_attr(READY, True)
    return study, stage(study.user_attrs[START])


@dataclasses.dataclass(frozen=True)
class Candidate:
    """A schedule that was tried: what was measured of it, by the place of the pair of set and
    seed.
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


def measured_of(trial: optuna.trial.FrozenTrial | optuna.Trial) -> dict[int, Measured]:
    """What was measured of a trial so far."""
    return {
        int(key.removeprefix("set ")): Measured.from_list(value)
        for key, value in trial.user_attrs.items()
        if key.startswith("set ")
    }


def candidates_of(stage: str, study: optuna.Study, instances: int) -> list[Candidate]:
    """The trials of a study that came to an end."""
    from optuna.trial import TrialState

    found = []
    for trial in study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)):
        measured = measured_of(trial)
        attrs = trial.user_attrs
        found.append(
            Candidate(
                stage,
                tuple(attrs["theta"]),
                measured,
                trial.params,
                trial.value,
                attrs["seconds"],
                tuple(attrs["calls"]),
                len(measured) == instances,
            )
        )
    return found


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


def put_back(study: optuna.Study, number: int) -> None:
    """Ends a trial that was interrupted and queues it again, with what is measured already."""
    from optuna.trial import TrialState

    from .storage import retry

    if study.trials[number].state == TrialState.RUNNING:
        study.tell(number, state=TrialState.FAIL)
    retry()(study, study.trials[number])
