"""Learns theta: climbs the ladder, candidate by candidate, from wherever the study stands."""

from __future__ import annotations

import dataclasses
import hashlib
import math
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import comfy.model_management
import torch

from ..metrics.score import Weights
from ..schedules import ThetaSchedule, from_values
from .ladder import PAPERS, SHARES, Stage, family_stage, knots_stage, steps_stage
from .meter import WEIGHTS, Meter
from .painter import Painter
from .storage import imported
from .study import Candidate, candidates_of, estimate, measured_of, open_study, put_back

if TYPE_CHECKING:
    import optuna

FAMILIES, KNOTS, STEPS = tuple(PAPERS), "knots", "steps"
Progress = Callable[["Learning"], None]


@dataclasses.dataclass(frozen=True)
class Task:
    """What is learnt, from what, and how hard it is tried.

    candidates: how many schedules are tried in all. max_lost: the share of sets that may be lost
    (see meter.py). coarse: the first rung's share of steps and resolution. ValueError for numbers
    that are none of these.
    """

    painter: Painter
    meter: Meter
    weights: str = "stated"
    candidates: int = 120
    seed: int = 0
    max_lost: float = 0.25
    coarse: float = 1.0

    def __post_init__(self) -> None:
        if self.weights not in WEIGHTS:
            raise ValueError(
                f"There are no weights {self.weights!r}; choose one of {', '.join(WEIGHTS)}."
            )
        if self.candidates < 1:
            raise ValueError(f"candidates must be 1 or more; it is {self.candidates}.")
        if not 0 <= self.max_lost < 1:
            raise ValueError(f"max_lost must be a number from 0 to below 1; it is {self.max_lost}.")
        if not 0 < self.coarse <= 1:
            raise ValueError(f"coarse must be a number above 0, up to 1; it is {self.coarse}.")

    @property
    def most_lost(self) -> int:
        """How many pairs of a set and a seed may be lost."""
        return math.floor(self.max_lost * len(self.painter.instances) + 1e-9)

    @property
    def key(self) -> str:
        """Changes with all that changes the scores, so that a study is resumed by its own task
        only.
        """
        parts = [
            self.painter.identity,
            self.meter.identity,
            self.weights,
            f"{self.max_lost:g} {self.coarse:g}",
        ]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:10]


class OutOfTime(Exception):
    """The minutes are over; all that was found is in the storage."""


class Learning:
    """A task in a storage, under a name: its studies and the candidates that they hold.

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
        imported()
        self.task, self.storage, self.worker = task, storage, worker
        self.name, self.progress = f"{name} {task.key}", progress or (lambda learning: None)
        self.stages: dict[str, tuple[optuna.Study, Stage]] = {}
        self.weights: Weights = WEIGHTS[task.weights]
        self.coarse_painter = (
            task.painter if task.coarse == 1 else task.painter.coarser(task.coarse)
        )
        self.measuring = 0  # pairs of a set and a seed that the running candidate has behind it
        self.finished = False

    # --- climbing ---

    def run(self, minutes: float = math.inf) -> Learning:
        """Climbs as far as the minutes allow.

        Run again, it goes on; run elsewhere with the same storage, it helps.
        """
        end = time.monotonic() + 60 * minutes
        try:
            for rung in (FAMILIES, (KNOTS,), (STEPS,)):
                self.finish(rung, end)
            self.finished = True
        except OutOfTime:
            pass
        return self

    def finish(self, names: Sequence[str], end: float) -> None:
        """All candidates of some stages, with those of other workers; what a lost worker left is
        made anew.
        """
        while True:
            wanting = [name for name in names if self.left(name) > 0]
            if not wanting and not any(self.count(name, "RUNNING") for name in names):
                return
            if time.monotonic() >= end:
                raise OutOfTime
            comfy.model_management.throw_exception_if_processing_interrupted()
            if wanting:
                self.next_candidate(wanting[0])
            else:
                time.sleep(1)

    def study(self, name: str) -> tuple[optuna.Study, Stage]:
        """A stage and its study, with a sampler whose seed no other worker or earlier run has."""
        if name not in self.stages:
            makers = {KNOTS: knots_stage, STEPS: steps_stage}
            study, stage = open_study(
                self.storage,
                f"{self.name} {name}",
                lambda: self.start_of(name),
                makers.get(name, lambda start: family_stage(name)),
            )
            seed = hashlib.sha256(
                f"{self.task.seed} {self.worker} {len(study.trials)}".encode()
            ).hexdigest()
            study.sampler = stage.sampler(int(seed[:8], 16) % 2**31)
            self.stages[name] = study, stage
        return self.stages[name]

    def start_of(self, name: str) -> list[float] | None:
        """Where a stage starts: from the best there is; the families start by themselves."""
        if name in FAMILIES:
            return None
        return self.schedule_of(self.best()).values(self.task.painter.settings.steps)

    def painter_of(self, name: str) -> Painter:
        """The first rung may be coarse."""
        return self.coarse_painter if name in FAMILIES else self.task.painter

    def budget(self, name: str) -> int:
        """How many candidates a stage gets."""
        return max(len(self.study(name)[1].starts), round(SHARES[name] * self.task.candidates))

    def left(self, name: str) -> int:
        """How many candidates a stage has yet to begin, once those of lost workers are back in
        line.
        """
        import optuna

        optuna.storages.fail_stale_trials(self.study(name)[0])
        begun = self.count(name, "COMPLETE", "RUNNING")
        return max(self.budget(name) - begun, self.count(name, "WAITING"))

    def count(self, name: str, *states: str) -> int:
        """How many trials of a stage are in one of some states."""
        from optuna.trial import TrialState

        return len(
            self.study(name)[0].get_trials(
                deepcopy=False, states=[TrialState[state] for state in states]
            )
        )

    # --- a candidate ---

    def next_candidate(self, name: str) -> None:
        """Tries one schedule.

        When that is interrupted, or fails, the candidate goes back in line.
        """
        study, stage = self.study(name)
        begun: list[int] = []

        def objective(trial: optuna.Trial) -> float:
            begun.append(trial.number)
            theta = stage.suggest(trial)
            with torch.inference_mode():
                return self.evaluate(name, theta, trial)

        try:
            with (
                torch.inference_mode(False),
                torch.enable_grad(),
            ):  # the host calls nodes without; samplers need both
                study.optimize(objective, n_trials=1)
        except BaseException:  # the host's interruption is none of Exception
            if begun:
                put_back(study, begun[0])
            raise
        finally:
            self.measuring = 0
        self.progress(self)

    def evaluate(self, name: str, theta: ThetaSchedule, trial: optuna.Trial) -> float:
        """The score of a schedule; it is given up as soon as it is surely not the best."""
        painter, started = self.painter_of(name), time.perf_counter()
        thetas = theta.values(painter.settings.steps)
        before = dataclasses.replace(painter.calls)
        own, scores = measured_of(trial), {}
        known = self.known(name, thetas) | own
        trial.set_user_attr("theta", thetas)
        for place in self.order(trial.number):
            if place not in known:
                images_NHWC = painter.paint(painter.instances[place], theta, interruptible)
                known[place] = self.task.meter(
                    images_NHWC, painter.sets[painter.instances[place][0]]
                )
            scores[place] = known[place].score(self.weights)
            if place not in own:
                trial.set_user_attr(f"set {place}", known[place].as_list())
                trial.report(scores[place], place)
            self.measuring = len(scores)
            self.progress(self)
            if trial.should_prune():
                break
        calls = [painter.calls.made - before.made, painter.calls.saved - before.saved]
        return self.told(
            trial, {i: known[i] for i in scores}, scores, calls, time.perf_counter() - started
        )

    def told(
        self, trial: optuna.Trial, measured: dict, scores: dict, calls: list[int], seconds: float
    ) -> float:
        """Writes down what came of a candidate; returns its value."""
        count = len(self.task.painter.instances)
        candidate = Candidate(
            "", (), measured, {}, None, seconds, tuple(calls), len(scores) == count
        )
        attrs = {
            "f_bg": none_for_nan(candidate.f_bg),
            "f_ti": candidate.f_ti,
            "lost": candidate.lost,
            "calls": calls,
            "seconds": round(seconds, 2),
        }
        for key, value in attrs.items():
            trial.set_user_attr(key, value)
        trial.set_constraint("lost", candidate.lost / len(scores) - self.task.most_lost / count)
        return (
            candidate.score(self.weights)
            if candidate.complete
            else estimate(scores, best_scores(trial.study))
        )

    def order(self, number: int) -> list[int]:
        """The pairs of a set and a seed, each candidate's from another one on: giving up early
        favours none.
        """
        count = len(self.task.painter.instances)
        return [(number + i) % count for i in range(count)]

    def known(self, name: str, thetas: Sequence[float]) -> dict:
        """What was measured of the very same schedule on an earlier rung."""
        if self.task.coarse < 1 and name in FAMILIES:
            return {}
        stages = [stage for stage in self.stages if self.task.coarse == 1 or stage not in FAMILIES]
        found: dict = {}
        for candidate in self.candidates(*stages):
            if candidate.thetas == tuple(thetas):
                found |= candidate.measured
        return found

    # --- what was found ---

    def candidates(self, *names: str) -> list[Candidate]:
        """What was tried so far, on some stages or on all that were begun."""
        count = len(self.task.painter.instances)
        return [
            one
            for name in names or self.stages
            for one in candidates_of(name, self.study(name)[0], count)
        ]

    def feasible(self, candidate: Candidate) -> bool:
        """Whether a candidate was seen to the end and lost no more sets than it may."""
        return candidate.complete and candidate.lost <= self.task.most_lost

    def best(self, *names: str, weights: Weights | None = None) -> Candidate | None:
        """The best candidate, of the finest stage that has one; one that loses too many sets only
        for want of others.

        None before the first candidate.
        """
        found = self.candidates(*names)
        if (
            self.task.coarse < 1 and not names
        ):  # scores of coarse pictures are no scores of fine ones
            found = [one for one in found if one.stage not in FAMILIES] or found
        weights = weights or self.weights
        return max(
            found,
            default=None,
            key=lambda one: (
                self.feasible(one),
                one.complete,
                0 if self.feasible(one) else -one.lost,
                one.score(weights),
            ),
        )

    def schedule_of(
        self, candidate: Candidate, name: str = "learned", origin: str = ""
    ) -> ThetaSchedule:
        """A candidate's schedule: the family it is of, or a table of its values."""
        import optuna

        if candidate.stage in FAMILIES:
            return family_stage(candidate.stage).suggest(optuna.trial.FixedTrial(candidate.params))
        return from_values(candidate.thetas, name, origin)[0]

    @torch.inference_mode()
    def images(self) -> torch.Tensor | None:
        """The best candidate's images of the first set; mostly its latent before the last step is
        still known.
        """
        best = self.best()
        if best is None:
            return None
        painter = self.painter_of(best.stage)
        return painter.paint(painter.instances[0], self.schedule_of(best), interruptible)


def interruptible(*_) -> None:
    """The host's sampling callback: an interruption ends the run at the next step."""
    comfy.model_management.throw_exception_if_processing_interrupted()


def best_scores(study: optuna.Study) -> dict[int, float]:
    """The scores of the best trial by place; none before the first one."""
    try:
        return study.best_trial.intermediate_values
    except ValueError:
        return {}


def none_for_nan(number: float) -> float | None:
    return None if math.isnan(number) else number
