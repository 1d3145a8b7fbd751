"""Filters as data: thresholds on the measures, in the order in which a set must pass them."""

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

PRESETS = Path(__file__).parent / "presets"
KEPT, REJECTED, FAILED = "kept", "rejected", "failed"


@dataclasses.dataclass(frozen=True)
class Stage:
    """One threshold: the measure must lie between two numbers, both included. None: no limit."""

    measure: str
    min: float | None = None
    max: float | None = None

    def explain(self, measures: Mapping[str, float | None]) -> str | None:
        """Why a set does not pass; None when it does. What was not measured passes."""
        if self.measure not in measures:
            return None
        found = measures[self.measure]
        if found is None:
            return f"{self.measure} has no number"
        if self.min is not None and found < self.min:
            return f"{self.measure} {found:.4g} is below {self.min:g}"
        if self.max is not None and found > self.max:
            return f"{self.measure} {found:.4g} is above {self.max:g}"
        return None

    def describe(self) -> str:
        low = "" if self.min is None else f" ≥ {self.min:g}"
        high = "" if self.max is None else f" ≤ {self.max:g}"
        return f"{self.measure}{low}{high}"

    def check(self) -> None:
        """ValueError if there is no such measure, or a limit is no number."""
        from .measures import MEASURES

        if self.measure not in MEASURES:
            raise ValueError(
                f"there is no measure {self.measure!r}; there are {', '.join(MEASURES)}."
            )
        limits = [one for one in (self.min, self.max) if one is not None]
        if not all(isinstance(one, int | float) and math.isfinite(one) for one in limits):
            raise ValueError(f"min and max of {self.measure} must be numbers.")


@dataclasses.dataclass(frozen=True)
class Filters:
    """Named stages, in order."""

    name: str
    stages: tuple[Stage, ...] = ()

    def judge(self, measures: Mapping[str, float | None]) -> tuple[str, str | None]:
        """(kept or rejected, the first reason against it)."""
        for stage in self.stages:
            if reason := stage.explain(measures):
                return REJECTED, reason
        return KEPT, None

    def count_survivors(
        self, measured: Sequence[Mapping[str, float | None]]
    ) -> list[tuple[str, int]]:
        """How many sets are left after each stage, the number of all at first."""
        left = list(measured)
        rows = [("made", len(left))]
        for stage in self.stages:
            left = [one for one in left if stage.explain(one) is None]
            rows.append((stage.describe(), len(left)))
        return rows

    @classmethod
    def from_fields(cls, content: Mapping[str, Any]) -> "Filters":
        """Of `dataclasses.asdict`, or of a file."""
        return cls(content["name"], tuple(Stage(**stage) for stage in content["stages"]))


def read_filters(name: str) -> Filters:
    """The filters of a preset, or of a JSON file.

    FileNotFoundError names the presets; ValueError says what is wrong with the file.
    """
    path = find_filters(name)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        filters = Filters.from_fields({"name": path.stem, **content})
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(
            f"{path.name} holds no filters: {error}. They look like"
            ' {"stages": [{"measure": "f_bg", "min": -0.001}]}.'
        ) from error
    for stage in filters.stages:
        try:
            stage.check()
        except ValueError as error:
            raise ValueError(f"{path.name}: {error}") from error
    return filters


def find_filters(name: str) -> Path:
    preset = PRESETS / f"{name}.json"
    if name.isidentifier() and preset.is_file():
        return preset
    if not Path(name).is_file():
        presets = ", ".join(sorted(one.stem for one in PRESETS.glob("*.json")))
        raise FileNotFoundError(f"There are no filters {name!r}: give a file, or one of {presets}.")
    return Path(name)
