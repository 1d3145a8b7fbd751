"""The theta-schedule: the weight of the entity text as a function of sampling progress."""

import dataclasses
import math
from abc import ABC, abstractmethod
from typing import Any, ClassVar

MAX_STEPS = 10_000


def finite(value: Any, label: str) -> float:
    """`value` as a plain float. ValueError, naming `label`, if it is not a finite number."""
    try:
        number = math.nan if isinstance(value, bool | str) else float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"{label} must be a finite number, not {repr(value)[:40]}.")
    return number


def whole(value: Any, label: str, low: int = 1, high: int = MAX_STEPS) -> int:
    """`value` as an int in [low, high]. ValueError, naming `label`, otherwise."""
    number = finite(value, label)
    if number != int(number) or not low <= number <= high:
        raise ValueError(
            f"{label} must be a whole number from {low} to {high}, not {repr(value)[:40]}."
        )
    return int(number)


class ThetaSchedule(ABC):
    """theta as a function of progress, never falling: 0 = background alone, 1 = entity alone.

    progress = t / N, with t = 0 (noisiest) ... N-1 the step index; t = N is the finished image.
    Schedules are frozen and hashable; equal parameters make equal schedules.
    """

    shape: ClassVar[str]

    @property
    @abstractmethod
    def name(self) -> str:
        """What people call it."""

    @abstractmethod
    def theta(self, progress: float) -> float:
        """theta for a progress already known to lie in [0, 1]."""

    def at(self, progress: float) -> float:
        """theta at `progress`; outside [0, 1] it keeps its end values.

        ValueError for NaN and infinities.
        """
        return self.theta(min(max(finite(progress, "The progress of sampling"), 0.0), 1.0))

    def values(self, steps: int) -> list[float]:
        """theta of each of `steps` sampling steps. ValueError unless steps >= 1."""
        steps = whole(steps, "The number of steps", high=2**31)
        return [self.at(t / steps) for t in range(steps)]

    @property
    def parameters(self) -> dict:
        """The numbers that make this schedule, by name."""
        schedule: Any = self  # each is a dataclass
        return {k: v for k, v in dataclasses.asdict(schedule).items() if k != "name"}

    @property
    def summary(self) -> str:
        """The parameters in a line for people, e.g. `center 12, k 0.8, reference steps 50`."""
        return ", ".join(f"{k.replace('_', ' ')} {v:g}" for k, v in self.parameters.items())
