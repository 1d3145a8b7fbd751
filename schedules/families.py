"""The schedule families of the paper (Appendix B.3.1), as functions of progress.

The paper writes them over the step index t of N = 50 steps. Here t = progress * reference_steps, so
center and k keep their meaning in steps of `reference_steps` and the shape is exact at any number
of steps.
"""

import math
from dataclasses import dataclass
from typing import ClassVar

from .schedule import ThetaSchedule, finite, whole


@dataclass(frozen=True)
class Step01(ThetaSchedule):
    """`0 if t < center else 1`: the hand-over in one step."""

    center: float = 12.0
    reference_steps: int = 50
    name: str = "01"
    shape: ClassVar[str] = "01"

    def __post_init__(self) -> None:
        object.__setattr__(self, "center", finite(self.center, "center"))
        object.__setattr__(self, "reference_steps", whole(self.reference_steps, "reference_steps"))

    def theta(self, progress: float) -> float:
        # Two quotients, not progress * reference_steps: equal ratios round to equal floats, so the
        # step is exact.
        return 0.0 if progress < self.center / self.reference_steps else 1.0


@dataclass(frozen=True)
class _Slope(ThetaSchedule):
    """What the smooth families share: steepness k around the center, in reference steps."""

    center: float = 12.0
    k: float = 0.8
    reference_steps: int = 50

    def __post_init__(self) -> None:
        object.__setattr__(self, "center", finite(self.center, "center"))
        object.__setattr__(self, "k", finite(self.k, "k"))
        object.__setattr__(self, "reference_steps", whole(self.reference_steps, "reference_steps"))
        if self.k <= 0:
            raise ValueError(f"k must be above 0, or theta would not rise; it is {self.k:g}.")

    def angle(self, progress: float) -> float:
        """k (t - center), with t = progress * reference_steps."""
        return self.k * (progress * self.reference_steps - self.center)


@dataclass(frozen=True)
class Sin(_Slope):
    """`sin(k(t - center))/2 + 1/2`, held at 0 and 1 beyond the half-wave."""

    name: str = "sin"
    shape: ClassVar[str] = "sin"

    def theta(self, progress: float) -> float:
        return 0.5 * math.sin(min(max(self.angle(progress), -math.pi / 2), math.pi / 2)) + 0.5


@dataclass(frozen=True)
class Arctan(_Slope):
    """`atan(k(t - center))/pi + 1/2`.

    It is not clamped: theta never quite reaches 0 or 1, as in the paper.
    """

    k: float = 0.5
    name: str = "arctan"
    shape: ClassVar[str] = "arctan"

    def theta(self, progress: float) -> float:
        return math.atan(self.angle(progress)) / math.pi + 0.5


@dataclass(frozen=True)
class Constant(ThetaSchedule):
    """One theta for every step: 0 paints the background text alone, 1 the entity text alone."""

    value: float
    name: str = "constant"
    shape: ClassVar[str] = "constant"

    def __post_init__(self) -> None:
        object.__setattr__(self, "value", finite(self.value, "value"))
        if not 0.0 <= self.value <= 1.0:
            raise ValueError(f"value must lie in [0, 1]; it is {self.value:g}.")

    def theta(self, progress: float) -> float:
        return self.value


sin, arctan, step01, constant = Sin, Arctan, Step01, Constant
FAMILIES: dict[str, type[ThetaSchedule]] = {
    family.shape: family for family in (Sin, Arctan, Step01, Constant)
}


def family(shape: str, **parameters: float | str) -> ThetaSchedule:
    """The schedule of a family by its name and parameters.

    ValueError for unknown names or parameters.
    """
    if shape not in FAMILIES:
        raise ValueError(
            f"There is no schedule shape {str(shape)[:40]!r}; choose one of {', '.join(FAMILIES)}."
        )
    try:
        return FAMILIES[shape](**parameters)
    except TypeError:
        raise ValueError(
            f"The shape {shape!r} does not take these parameters: {sorted(parameters)}."
        ) from None
