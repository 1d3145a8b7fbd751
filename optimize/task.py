"""What is learned, from what, and how hard it is tried."""

from __future__ import annotations

import dataclasses
import hashlib
import math

from .meter import WEIGHTS, Meter
from .painter import Painter


@dataclasses.dataclass(frozen=True)
class Task:
    """What is learned, from what, and how hard it is tried.

    candidates: how many schedules are tried in all. max_lost: the share of sets that may be lost
    (see meter.py). coarse: the first rung's share of steps and resolution. ValueError for numbers
    out of range.
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
    def pairs(self) -> int:
        """How many pairs of a set and a seed each candidate is tried on."""
        return len(self.painter.instances)

    @property
    def most_lost(self) -> int:
        """How many pairs of a set and a seed may be lost."""
        return math.floor(self.max_lost * self.pairs + 1e-9)

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
