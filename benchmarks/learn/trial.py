"""The learned schedule and the best of each shape, measured on sets that no candidate has seen."""

from __future__ import annotations

import hashlib
import math
import statistics
from dataclasses import dataclass

from coupled.metrics.score import PRESETS
from coupled.optimize import Learning, Painter
from coupled.optimize.candidate import Candidate
from coupled.optimize.meter import Measured
from coupled.optimize.prefixes import Prefixes
from coupled.optimize.report import describe_parameters
from coupled.optimize.stages import SHAPES
from coupled.schedules import ThetaSchedule, family

from ..sets import held_out_sets
from ..store import Key, Store
from .task import HELD_OUT_SEED

LEARNED = "learned"


@dataclass(frozen=True)
class Contender:
    """A schedule, and which presets it is the best of its shape for, on the training sets."""

    label: str
    shape: str
    schedule: ThetaSchedule
    presets: tuple[str, ...] = tuple(PRESETS)
    training: Candidate | None = None

    def key(self, steps: int) -> str:
        """The same for schedules that make the same images."""
        return hashlib.sha256(repr(self.schedule.values(steps)).encode()).hexdigest()[:12]


def find_contenders(learning: Learning) -> list[Contender]:
    """The learned schedule; of each shape the best by either preset; and the paper's own
    figures. ValueError if a shape has not been tried yet.
    """
    untried = [shape for shape in SHAPES if learning.best(shape) is None]
    if untried:
        raise ValueError(
            f"Give it more --minutes: it has not tried {', '.join(untried)} yet, so there is"
            " nothing to compare. The next run goes on from here."
        )
    best = learning.best()
    assert best is not None
    found = [Contender(LEARNED, LEARNED, learning.schedule_of(best), training=best)]
    for shape in SHAPES:
        found += find_shape_contenders(learning, shape)
    return [*found, Contender("paper's: sin, center 12, k 0.8", "paper", family("sin"), ())]


def find_shape_contenders(learning: Learning, shape: str) -> list[Contender]:
    """The best of a shape by each preset; one that is the best by both comes once."""
    best: dict[str, Candidate] = {}
    for preset, weights in PRESETS.items():
        candidate = learning.best(shape, weights=weights)
        assert candidate is not None  # every shape was tried
        best[preset] = candidate
    presets: dict[str, list[str]] = {}
    for preset, one in best.items():
        presets.setdefault(describe_parameters(one), []).append(preset)
    found = []
    for words, names in presets.items():
        one = best[names[0]]
        schedule = learning.schedule_of(one)
        found.append(Contender(f"{shape}, {words}", shape, schedule, tuple(names), one))
    return found


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
        self.meter = task.meter
        self.store = store
        self.contenders = find_contenders(learning)
        self.steps = task.painter.settings.steps
        self.models = task.key
        self.results: dict[str, list[Measured]] = {}

    def run(self) -> None:
        """What is in the store already is not made again."""
        done = self.store.records()
        for pair in self.painter.instances:
            for contender in self.contenders:
                key = self.make_key(pair, contender)
                if key not in done:
                    done[key] = self.make_record(key, pair, contender)
                    self.store.append(done[key])
                measured = Measured.from_list(done[key]["measured"])
                self.results.setdefault(contender.label, []).append(measured)
            name, seed = key[:2]
            print(f"held out: {name}, seed {seed}", flush=True)

    def make_key(self, pair: tuple[int, int], contender: Contender) -> Key:
        place, seed = pair
        method = f"{self.models} {contender.key(self.steps)}"
        return self.sets[place].name, self.painter.seeds[seed], method

    def make_record(self, key: Key, pair: tuple[int, int], contender: Contender) -> dict:
        images_NHWC = self.painter.paint(pair, contender.schedule)
        measured = self.meter(images_NHWC, self.sets[pair[0]])
        name, seed, method = key
        return {"set": name, "seed": seed, "method": method, "measured": measured.as_list()}

    def scores(self, label: str, preset: str) -> list[float]:
        """The combined score of each set and seed."""
        return [one.score(PRESETS[preset]) for one in self.results[label]]

    def find_rival(self, preset: str) -> Contender:
        """The best of the shapes' best, chosen on the held-out sets themselves: the hardest
        rival.
        """
        shapes = [one for one in self.contenders if one.shape in SHAPES and preset in one.presets]
        return max(shapes, key=lambda one: statistics.fmean(self.scores(one.label, preset)))

    def compare(self, label: str, other: str, preset: str) -> dict:
        """How much better one is than another, set by set: mean, standard error, and the number of
        sets it wins.
        """
        pairs = zip(self.scores(label, preset), self.scores(other, preset), strict=True)
        gaps = [a - b for a, b in pairs]
        return {
            "mean": statistics.fmean(gaps),
            "error": statistics.pstdev(gaps) / math.sqrt(max(1, len(gaps) - 1)),
            "wins": sum(gap > 0 for gap in gaps),
            "ties": sum(gap == 0 for gap in gaps),
            "count": len(gaps),
        }
