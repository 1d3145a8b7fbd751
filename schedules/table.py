"""Schedules from listed values: text, any sequence of numbers, or the host's curve."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar, Protocol

from .schedule import MAX_STEPS, ThetaSchedule, finite

CURVE_SAMPLES = (
    1200  # divisible by 12, 16, 20, 24, 25, 30, 40, 48, 50, 60, 75 and 100 steps: exact there
)
NOTE_THRESHOLD = 1e-6  # smaller changes are rounding, not worth a word


@dataclass(frozen=True)
class Table(ThetaSchedule):
    """theta listed for M steps: `knots[i]` at progress i/M, linear between, the last one held."""

    knots: tuple[float, ...]
    name: str = "values"
    origin: str = ""
    shape: ClassVar[str] = "values"

    def __post_init__(self) -> None:
        check_values(self.knots)
        object.__setattr__(self, "knots", tuple(map(float, self.knots)))

    def theta(self, progress: float) -> float:
        last = len(self.knots) - 1
        position = progress * len(self.knots)
        index = round(position)
        # 29/50*50 is not 29 in floats: at a knot the answer is the knot itself, so 0 and 1 stay
        # exact.
        if abs(position - index) < 1e-9:
            return self.knots[min(index, last)]
        index = math.floor(position)
        low, high = self.knots[index], self.knots[min(index + 1, last)]
        return low + (position - index) * (high - low)

    @property
    def summary(self) -> str:
        return f"{len(self.knots)} value{'s' * (len(self.knots) > 1)}" + (
            f", {self.origin}" if self.origin else ""
        )


def check_values(values: Sequence[float]) -> None:
    """ValueError unless there are 1 to MAX_STEPS numbers in [0, 1] that never fall."""
    check_count(len(values))
    for i, value in enumerate(values):
        if not 0.0 <= finite(value, f"Value {i + 1}") <= 1.0:
            raise ValueError(f"Value {i + 1} is {value:g}: theta must lie in [0, 1].")
    for i, (low, high) in enumerate(pairwise(values)):
        if high < low:
            raise ValueError(
                f"Value {i + 2} falls from {low:g} to {high:g}: theta must never fall."
            )


def check_count(count: int) -> None:
    """ValueError unless 1 <= count <= MAX_STEPS."""
    if count == 0:
        raise ValueError("There are no values: write at least one number between 0 and 1.")
    if count > MAX_STEPS:
        raise ValueError(f"There are {count} values; a schedule holds at most {MAX_STEPS}.")


def parse_values(text: str) -> list[float]:
    """Numbers separated by commas, semicolons, spaces or lines; a pair of brackets is fine."""
    text = text.strip()
    if text.startswith("[") and text.endswith("]"):
        text = text[1:-1]
    words = [word for word in re.split(r"[\s,;]+", text) if word]
    check_count(len(words))
    return [_number(word, i + 1) for i, word in enumerate(words)]


def _number(word: str, place: int) -> float:
    try:
        value = float(word)
    except ValueError:
        raise ValueError(
            f"Value {place} is {word[:40]!r}, not a number. Write numbers between 0 and 1, "
            "separated by commas, spaces or lines, with a point for decimals: 0, 0.5, 1."
        ) from None
    return finite(value, f"Value {place}")


def project(values: Sequence[float]) -> list[float]:
    """The nearest non-falling sequence in [0, 1], in least squares: clip(isotonic regression)."""
    if any(high < low for low, high in pairwise(values)):
        from scipy.optimize import (
            isotonic_regression,
        )  # here, not above: importing scipy takes its time

        values = isotonic_regression(values).x.tolist()
    return [min(max(value, 0.0), 1.0) for value in values]


def from_values(
    values: Sequence[float], name: str = "values", origin: str = ""
) -> tuple[Table, str | None]:
    """A schedule of listed values, made valid by projection, with a note if that changed them."""
    check_count(len(values))
    given = [finite(value, f"Value {i + 1}") for i, value in enumerate(values)]
    projected = project(given)
    return Table(tuple(projected), name, origin), projection_note(given, projected)


def projection_note(given: Sequence[float], projected: Sequence[float]) -> str | None:
    """What the projection changed, in a sentence; None when it changed nothing."""
    changes = [abs(a - b) for a, b in zip(given, projected, strict=True)]
    changed = sum(change > NOTE_THRESHOLD for change in changes)
    if not changed:
        return None
    return (
        f"Changed {changed} of {len(changes)} values, by {max(changes):.3g} at most, because theta "
        "must lie in [0, 1] and never fall (isotonic regression, clipped)."
    )


class Curve(Protocol):
    """What is needed of the host's curve (comfy_api.input.CurveInput)."""

    @property
    def points(self) -> list[tuple[float, float]]: ...

    def interp(self, x: float) -> float:
        """y at x in [0, 1]."""


def from_curve(curve: Curve, name: str = "curve") -> tuple[Table, str | None]:
    """theta = y over progress = x.

    The host validates no curve, so its points are checked, its course projected.
    """
    check_count(len(curve.points))
    for i, (x, y) in enumerate(curve.points):
        finite(y, f"The y of curve point {i + 1}")
        if not 0.0 <= finite(x, f"The x of curve point {i + 1}") <= 1.0:
            raise ValueError(
                f"The x of curve point {i + 1} is {x:g}: x is the progress of sampling, from 0"
                " to 1."
            )
    samples = [float(curve.interp(i / CURVE_SAMPLES)) for i in range(CURVE_SAMPLES)]
    return from_values(samples, name, origin="curve editor")
