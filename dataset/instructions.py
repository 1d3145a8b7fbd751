"""What an editing model is told: every way from one picture of a set to another."""

import dataclasses
import itertools
from collections.abc import Sequence

PLATE = "plate"


@dataclasses.dataclass(frozen=True)
class Edit:
    """From the picture `source` to `target`, names as in a sample without .png."""

    kind: str
    source: str
    target: str
    text: str


def describe_edits(subjects: Sequence[str], has_plate: bool) -> list[dict]:
    """For JSON."""
    return [dataclasses.asdict(edit) for edit in edits(subjects, has_plate)]


def edits(subjects: Sequence[str], has_plate: bool) -> list[Edit]:
    """Replacing each subject by each other, and with a plate inserting and removing each."""
    found = [
        Edit("replace", f"image_{i}", f"image_{j}", f"replace {subjects[i]} by {subjects[j]}")
        for i, j in itertools.permutations(range(len(subjects)), 2)
    ]
    for i, subject in enumerate(subjects if has_plate else ()):
        found.append(Edit("insert", PLATE, f"image_{i}", f"add {subject}"))
        found.append(Edit("remove", f"image_{i}", PLATE, f"remove {subject}"))
    return found
