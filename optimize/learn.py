"""Learns theta: climbs the ladder, candidate by candidate, from wherever the study stands."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence

import comfy.model_management
import torch

from ..metrics.score import Weights
from ..schedules import ThetaSchedule, from_values
from .candidate import Candidate
from .evaluate import Attempt, Evaluator, stop_if_interrupted
from .ladder import RUNGS, Ladder
from .meter import WEIGHTS
from .stages import SHAPES, ShapeStage
from .storage import import_optuna
from .study import StageStudy, Studies
from .task import Task

Progress = Callable[["Learning"], None]


class Learning:
    """A task in a storage, under a name: it climbs the ladder, and knows what was found.

    worker: any number that no other worker has. progress(learning) is called after each set that
    was measured, and after each candidate. ImportError without optuna.
    """

    def __init__(
        self,
        task: Task,
        storage,
        name: str = "theta",
        worker: int = 0,
        progress: Progress | None = None,
    ):
        import_optuna()
        self.task = task
        self.progress = progress
        self.weights: Weights = WEIGHTS[task.weights]
        self.ladder = Ladder(task.candidates)
        self.studies = Studies(storage, f"{name} {task.key}", task.seed, worker)
        self.evaluator = Evaluator(task, self.studies, self.show_measured)
        self.measuring = 0  # pairs of a set and a seed that the running candidate has behind it
        self.stage: str | None = None  # of the running candidate
        self.finished = False

    def run(self, minutes: float = math.inf) -> Learning:
        """Climbs as far as the minutes allow.

        Run again, it goes on; run elsewhere with the same storage, it helps.
        """
        end = time.monotonic() + 60 * minutes
        self.finished = all(self.finish_rung(names, end) for names in RUNGS)
        return self

    def finish_rung(self, names: Sequence[str], end: float) -> bool:
        """All candidates of some stages, with those of other workers; what a lost worker left is
        made again. False when the time is over first.
        """
        rung = [self.open_stage(name) for name in names]
        while True:
            stage = self.ladder.next_stage(rung)
            if stage is None and not self.ladder.is_running(rung):
                return True
            if time.monotonic() >= end:
                return False
            comfy.model_management.throw_exception_if_processing_interrupted()
            if stage is None:
                time.sleep(1)
            else:
                self.try_candidate(stage)

    def open_stage(self, name: str) -> StageStudy:
        """A stage and its study; it starts from the best there is, but for the paper's shapes."""
        if name in self.studies.opened:
            return self.studies.opened[name]
        if name in SHAPES:
            return self.studies.open(name, None)
        steps = self.task.painter.settings.steps
        best = self.best()
        assert best is not None  # the shapes were tried before
        return self.studies.open(name, self.schedule_of(best).values(steps))

    def try_candidate(self, stage: StageStudy) -> None:
        """Tries one schedule.

        When that is interrupted, or fails, the candidate goes back in line.
        """
        attempt = Attempt(self.evaluator, stage)
        self.stage = stage.name
        try:
            # The host calls nodes without gradients; Optuna's samplers need them.
            with torch.inference_mode(False), torch.enable_grad():
                stage.study.optimize(attempt, n_trials=1)
        except BaseException:  # the host's interruption is none of Exception
            if attempt.number is not None:
                stage.requeue(attempt.number)
            raise
        finally:
            self.measuring = 0
        self.show_progress()

    def show_measured(self, count: int) -> None:
        self.measuring = count
        self.show_progress()

    def show_progress(self) -> None:
        if self.progress is not None:
            self.progress(self)

    @property
    def stages(self) -> list[str]:
        """The names of the stages that were begun."""
        return list(self.studies.opened)

    def candidates(self, *names: str) -> list[Candidate]:
        """What was tried so far, in some stages or in all that were begun."""
        stages = [self.open_stage(name) for name in names or self.stages]
        return [one for stage in stages for one in stage.candidates(self.task.pairs)]

    def is_feasible(self, candidate: Candidate) -> bool:
        """Whether a candidate was seen to the end and lost no more sets than it may."""
        return candidate.complete and candidate.lost <= self.task.most_lost

    def best(self, *names: str, weights: Weights | None = None) -> Candidate | None:
        """The best feasible candidate, of some stages or of all; an infeasible one only if there is
        no other. None before the first candidate.
        """
        found = self.candidates(*names)
        if self.task.coarse < 1 and not names:
            # Scores of coarse pictures are no scores of fine ones.
            found = [one for one in found if one.stage not in SHAPES] or found
        weights = weights or self.weights
        return max(found, default=None, key=lambda one: self.rank(one, weights))

    def rank(self, one: Candidate, weights: Weights) -> tuple:
        feasible = self.is_feasible(one)
        return feasible, one.complete, 0 if feasible else -one.lost, one.score(weights)

    def schedule_of(
        self, candidate: Candidate, name: str = "learned", origin: str = ""
    ) -> ThetaSchedule:
        """A candidate's schedule: the shape it is of, or a table of its values."""
        import optuna

        if candidate.stage in SHAPES:
            return ShapeStage(candidate.stage).suggest(optuna.trial.FixedTrial(candidate.params))
        return from_values(candidate.thetas, name, origin)[0]

    @torch.inference_mode()
    def images(self) -> torch.Tensor | None:
        """The best candidate's images of the first set; mostly its latent before the last step is
        still known.
        """
        best = self.best()
        if best is None:
            return None
        painter = self.evaluator.choose_painter(best.stage)
        return painter.paint(painter.instances[0], self.schedule_of(best), stop_if_interrupted)
