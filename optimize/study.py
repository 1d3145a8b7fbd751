"""The studies of one learning in Optuna's storage: one for each stage of the ladder."""

from __future__ import annotations

import dataclasses
import hashlib
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..schedules import ThetaSchedule
from .candidate import Candidate, read_candidate
from .stages import Stage, make_stage
from .storage import make_retry

if TYPE_CHECKING:
    import optuna

READY = "ready"
START = "start"
PATIENCE = 60  # seconds for another worker to fill a study that it has made
# Of Wilcoxon's test: the risk of giving up a good candidate, and the pairs it needs.
RISK = 0.1
FEWEST_PAIRS = 6


@dataclasses.dataclass(frozen=True)
class StageStudy:
    """A stage and its study."""

    stage: Stage
    study: optuna.Study

    @property
    def name(self) -> str:
        return self.stage.name

    @property
    def starts(self) -> tuple[dict[str, float], ...]:
        return self.stage.starts

    def suggest(self, trial: optuna.trial.BaseTrial) -> ThetaSchedule:
        return self.stage.suggest(trial)

    def count(self, *states: str) -> int:
        """How many trials are in one of some states, by Optuna's names."""
        from optuna.trial import TrialState

        wanted = [TrialState[state] for state in states]
        return len(self.study.get_trials(deepcopy=False, states=wanted))

    def candidates(self, pairs: int) -> list[Candidate]:
        """The trials that came to an end, of so many pairs of a set and a seed."""
        from optuna.trial import TrialState

        trials = self.study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        return [read_candidate(self.name, trial, pairs) for trial in trials]

    def best_scores(self) -> dict[int, float]:
        """The scores of the best trial by pair; none before the first trial."""
        try:
            return self.study.best_trial.intermediate_values
        except ValueError:  # Optuna's word for none
            return {}

    def requeue_lost(self) -> None:
        """Puts the candidates of workers that fell silent back in line."""
        import optuna

        optuna.storages.fail_stale_trials(self.study)

    def requeue(self, number: int) -> None:
        """Ends a trial that was interrupted and queues it again, with what is measured already."""
        from optuna.trial import TrialState

        if self.study.trials[number].state == TrialState.RUNNING:
            self.study.tell(number, state=TrialState.FAIL)
        make_retry()(self.study, self.study.trials[number])


class Studies:
    """The studies of a learning that were begun, by the names of their stages.

    seed, worker: no two workers, and no two runs, draw the same candidates.
    """

    def __init__(self, storage, name: str, seed: int, worker: int):
        self.storage = storage
        self.name = name
        self.seed = seed
        self.worker = worker
        self.opened: dict[str, StageStudy] = {}

    def open(self, name: str, start: Sequence[float] | None) -> StageStudy:
        """The study of a stage; whoever comes first chooses where it starts and queues what it
        tries first.
        """
        study = create_study(self.storage, f"{self.name} {name}")
        if not study.user_attrs.get(READY):
            study.set_user_attr(START, start)
            for params in make_stage(name, start).starts:
                study.enqueue_trial(params, skip_if_exists=True)
            study.set_user_attr(READY, True)
        stage = make_stage(name, study.user_attrs[START])
        study.sampler = stage.make_sampler(self.sampler_seed(study))
        self.opened[name] = StageStudy(stage, study)
        return self.opened[name]

    def sampler_seed(self, study: optuna.Study) -> int:
        """A seed that no other worker or earlier run has."""
        text = f"{self.seed} {self.worker} {len(study.trials)}"
        return int(hashlib.sha256(text.encode()).hexdigest()[:8], 16) % 2**31


def create_study(storage, name: str) -> optuna.Study:
    """A new study, or the one that is there; then not before it is ready, or its maker is gone."""
    import optuna

    pruner = optuna.pruners.WilcoxonPruner(p_threshold=RISK, n_startup_steps=FEWEST_PAIRS)
    try:
        return optuna.create_study(
            storage=storage, study_name=name, direction="maximize", pruner=pruner
        )
    except optuna.exceptions.DuplicatedStudyError:
        study = optuna.load_study(storage=storage, study_name=name, pruner=pruner)
    end = time.monotonic() + PATIENCE
    while not study.user_attrs.get(READY) and time.monotonic() < end:
        time.sleep(0.2)
    return study
