"""Filters as data: thresholds on the measures, in the order in which a set must pass them."""

import dataclasses
import json
import math
from collections.abc import Mapping
from pathlib import Path

PRESETS = Path(__file__).parent / "presets"
KEPT, REJECTED, FAILED = "kept", "rejected", "failed"


@dataclasses.dataclass(frozen=True)
class Stage:
    """One threshold: the measure must lie between two numbers, both included."""

    measure: str
    min: float = -math.inf
    max: float = math.inf

    def explain(self, measures: Mapping[str, float | None]) -> str | None:
        """Why a set does not pass; None when it does. What was not measured passes."""
        found = measures.get(self.measure)
        if self.measure not in measures or (found is not None and self.min <= found <= self.max):
            return None
        if found is None:
            return f"{self.measure} has no number"
        limit = f"below {self.min:g}" if found < self.min else f"above {self.max:g}"
        return f"{self.measure} {found:.4g} is {limit}"


@dataclasses.dataclass(frozen=True)
class Filters:
    """Named stages, in order."""

    name: str
    stages: tuple[Stage, ...]

    def judge(self, measures: Mapping[str, float | None]) -> tuple[str, str | None]:
        """(kept or rejected, the first reason against it)."""
        for stage in self.stages:
            if reason := stage.explain(measures):
                return REJECTED, reason
        return KEPT, None

    def survivors(self, measured: list[Mapping[str, float | None]]) -> list[tuple[str, int]]:
        """How many sets are left after each stage, the number of all at first."""
        left, rows = list(measured), [("made", len(measured))]
        for stage in self.stages:
            left = [one for one in left if stage.explain(one) is None]
            rows.append((describe(stage), len(left)))
        return rows


def describe(stage: Stage) -> str:
    parts = [f"≥ {stage.min:g}" if stage.min > -math.inf else ""]
    parts += [f"≤ {stage.max:g}" if stage.max < math.inf else ""]
    return " ".join([stage.measure, *filter(None, parts)])


def read_filters(name: str) -> Filters:
    """The filters of a preset, or of a JSON file.

    FileNotFoundError names the presets; ValueError says what is wrong with the file.
    """
    from .measures import MEASURES

    path = PRESETS / f"{name}.json"
    if not (name.isidentifier() and path.is_file()):
        path = Path(name)
    if not path.is_file():
        presets = ", ".join(sorted(one.stem for one in PRESETS.glob("*.json")))
        raise FileNotFoundError(f"There are no filters {name!r}: give a file, or one of {presets}.")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        stages = tuple(Stage(**stage) for stage in content["stages"])
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(
            f"{path.name} holds no filters: {error}. They look like"
            ' {"stages": [{"measure": "f_bg", "min": -0.001}]}.'
        ) from error
    for stage in stages:
        if stage.measure not in MEASURES:
            raise ValueError(
                f"{path.name}: there is no measure {stage.measure!r}; there are"
                f" {', '.join(MEASURES)}."
            )
        numbers = (stage.min, stage.max)
        if not all(isinstance(one, int | float) and one == one for one in numbers):
            raise ValueError(f"{path.name}: min and max of {stage.measure} must be numbers.")
    return Filters(str(content.get("name", path.stem)), stages)
