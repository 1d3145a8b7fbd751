"""The learned schedule and the best of each family, measured on sets that no candidate has seen."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass

from coupled.metrics.score import PRESETS
from coupled.optimize import Learning, Painter
from coupled.optimize.learn import FAMILIES
from coupled.optimize.meter import Measured
from coupled.optimize.painter import Prefixes
from coupled.optimize.report import parameters
from coupled.optimize.study import Candidate
from coupled.schedules import ThetaSchedule, family

from ..sets import held_out_sets
from ..store import Store
from .task import HELD_OUT_SEED

LEARNED = "learned"


@dataclass(frozen=True)
class Contender:
    """A schedule, and which presets it is the best of its family for, on the training sets."""

    label: str
    shape: str
    schedule: ThetaSchedule
    presets: tuple[str, ...] = tuple(PRESETS)
    training: Candidate | None = None

    def key(self, steps: int) -> str:
        """The same for schedules that make the same images."""
        return hashlib.sha256(repr(self.schedule.values(steps)).encode()).hexdigest()[:12]


def contenders(learning: Learning) -> list[Contender]:
    """The learned schedule; of each family the best by either preset; and the paper's own
    figures.
    """
    best = learning.best()
    found = [Contender(LEARNED, LEARNED, learning.schedule_of(best), training=best)]
    for shape in FAMILIES:
        chosen: dict[str, list[str]] = {}
        candidates = {
            preset: learning.best(shape, weights=weights) for preset, weights in PRESETS.items()
        }
        for preset, one in candidates.items():
            chosen.setdefault(parameters(one), []).append(preset)
        for words, presets in chosen.items():
            one = candidates[presets[0]]
            found.append(
                Contender(
                    f"{shape}, {words}", shape, learning.schedule_of(one), tuple(presets), one
                )
            )
    return [*found, Contender("paper's: sin, center 12, k 0.8", "paper", family("sin"), ())]


class Trial:
    """Measures every contender on every held-out set and seed, each once."""

    def __init__(self, learning: Learning, store: Store, sets: int | None, seeds: int):
        task = learning.task
        self.sets = held_out_sets()[:sets]
        self.painter = Painter(
            task.painter.model,
            task.painter.clip,
            task.painter.vae,
            self.sets,
            [HELD_OUT_SEED + i for i in range(seeds)],
            task.painter.latent,
            task.painter.settings,
            Prefixes(),
        )
        self.meter, self.store, self.contenders = task.meter, store, contenders(learning)
        self.steps, self.models = task.painter.settings.steps, task.key
        self.results: dict[str, list[Measured]] = {}

    def run(self) -> None:
        """What is in the store already is not made again."""
        done = self.store.records()
        for place, seed in self.painter.instances:
            for contender in self.contenders:
                key = (
                    self.sets[place].name,
                    self.painter.seeds[seed],
                    f"{self.models} {contender.key(self.steps)}",
                )
                if key not in done:
                    measured = self.measure(place, seed, contender)
                    done[key] = {
                        "set": key[0],
                        "seed": key[1],
                        "method": key[2],
                        "measured": measured.as_list(),
                    }
                    self.store.append(done[key])
                self.results.setdefault(contender.label, []).append(
                    Measured.from_list(done[key]["measured"])
                )
            print(f"held out: {self.sets[place].name}, seed {self.painter.seeds[seed]}", flush=True)

    def measure(self, place: int, seed: int, contender: Contender) -> Measured:
        images_NHWC = self.painter.paint((place, seed), contender.schedule)
        return self.meter(images_NHWC, self.sets[place])

    def scores(self, label: str, preset: str) -> list[float]:
        """The combined score of each set and seed."""
        return [one.score(PRESETS[preset]) for one in self.results[label]]

    def rival(self, preset: str) -> Contender:
        """The best of the families' best, chosen on the held-out sets themselves: the hardest
        rival.
        """
        families = [
            one for one in self.contenders if one.shape in FAMILIES and preset in one.presets
        ]
        return max(families, key=lambda one: mean(self.scores(one.label, preset)))

    def difference(self, label: str, other: str, preset: str) -> dict:
        """How much better one is than another, set by set: mean, standard error, and the share of
        sets it wins.
        """
        pairs = list(zip(self.scores(label, preset), self.scores(other, preset), strict=True))
        gaps = [a - b for a, b in pairs]
        return {
            "mean": mean(gaps),
            "error": spread(gaps) / math.sqrt(max(1, len(gaps) - 1)),
            "wins": sum(gap > 0 for gap in gaps),
            "ties": sum(gap == 0 for gap in gaps),
            "count": len(gaps),
        }


def mean(numbers: list[float]) -> float:
    return sum(numbers) / len(numbers)


def spread(numbers: list[float]) -> float:
    """The standard deviation."""
    middle = mean(numbers)
    return math.sqrt(mean([(number - middle) ** 2 for number in numbers]))
