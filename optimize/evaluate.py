"""Tries one schedule: makes and measures its images, set by set."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import comfy.model_management
import torch

from ..schedules import ThetaSchedule
from .candidate import Candidate, estimate, mean, read_measured, record_pair, record_result
from .meter import WEIGHTS, Measured
from .painter import Painter
from .stages import SHAPES
from .study import StageStudy, Studies
from .task import Task

if TYPE_CHECKING:
    import optuna


class Evaluator:
    """Makes a Candidate of one schedule. show(count) is called after each pair of a set and a seed,
    with how many were measured.
    """

    def __init__(self, task: Task, studies: Studies, show: Callable[[int], None]):
        self.task = task
        self.studies = studies
        self.show = show
        self.weights = WEIGHTS[task.weights]
        self.coarse_painter = task.painter
        if task.coarse < 1:
            self.coarse_painter = task.painter.coarser(task.coarse)

    def choose_painter(self, stage: str) -> Painter:
        """The first rung may be coarse."""
        return self.coarse_painter if stage in SHAPES else self.task.painter

    def evaluate(self, stage: StageStudy, theta: ThetaSchedule, trial: optuna.Trial) -> Candidate:
        """The candidate, written down; it is given up as soon as it is surely not the best."""
        painter = self.choose_painter(stage.name)
        thetas = theta.values(painter.settings.steps)
        trial.set_user_attr("theta", thetas)
        before = dataclasses.replace(painter.calls)
        started = time.perf_counter()
        measured = self.measure_pairs(stage, theta, trial)
        scores = {place: one.score(self.weights) for place, one in measured.items()}
        complete = len(measured) == self.task.pairs
        candidate = Candidate(
            stage.name,
            tuple(thetas),
            measured,
            trial.params,
            mean(scores.values()) if complete else estimate(scores, stage.best_scores()),
            time.perf_counter() - started,
            (painter.calls.made - before.made, painter.calls.saved - before.saved),
            complete,
        )
        record_result(trial, candidate, self.task.most_lost / self.task.pairs)
        return candidate

    def measure_pairs(
        self, stage: StageStudy, theta: ThetaSchedule, trial: optuna.Trial
    ) -> dict[int, Measured]:
        """The measures of each pair, up to where the candidate is given up."""
        painter = self.choose_painter(stage.name)
        own = read_measured(trial)
        reused = self.reuse_measurements(stage.name, theta.values(painter.settings.steps)) | own
        measured = {}
        for place in rotated_order(trial.number, self.task.pairs):
            one = reused.get(place) or self.measure(painter, place, theta)
            measured[place] = one
            if place not in own:
                record_pair(trial, place, one, one.score(self.weights))
            self.show(len(measured))
            if trial.should_prune():
                break
        return measured

    def measure(self, painter: Painter, place: int, theta: ThetaSchedule) -> Measured:
        """The measures of one pair of a set and a seed."""
        pair = painter.instances[place]
        images_NHWC = painter.paint(pair, theta, stop_if_interrupted)
        return self.task.meter(images_NHWC, painter.sets[pair[0]])

    def reuse_measurements(self, stage: str, thetas: Sequence[float]) -> dict[int, Measured]:
        """What was measured of the very same schedule in another stage; pictures that are coarse
        are no pictures that are fine.
        """
        is_coarse = self.task.coarse < 1
        if is_coarse and stage in SHAPES:
            return {}
        found: dict[int, Measured] = {}
        for other in self.studies.opened.values():
            if is_coarse and other.name in SHAPES:
                continue
            for candidate in other.candidates(self.task.pairs):
                if candidate.thetas == tuple(thetas):
                    found |= candidate.measured
        return found


@dataclasses.dataclass
class Attempt:
    """One trial of a stage, as Optuna calls it. It keeps the trial's number, for when it is
    interrupted.
    """

    evaluator: Evaluator
    stage: StageStudy
    number: int | None = None

    def __call__(self, trial: optuna.Trial) -> float:
        self.number = trial.number
        theta = self.stage.suggest(trial)
        with torch.inference_mode():
            value = self.evaluator.evaluate(self.stage, theta, trial).value
        assert value is not None  # only a candidate that is read again may have none
        return value


def rotated_order(number: int, count: int) -> list[int]:
    """The places 0 … count - 1, begun at another one for each candidate, so that giving up early
    favors none.
    """
    return [(number + i) % count for i in range(count)]


def stop_if_interrupted(*_) -> None:
    """The host's sampling callback: an interruption ends the run at the next step."""
    comfy.model_management.throw_exception_if_processing_interrupted()
