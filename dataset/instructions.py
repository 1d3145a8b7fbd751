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
    """Replacing each subject with each other, and with a plate inserting and removing each."""
    new = list(map(introduce, subjects))
    found = [
        Edit("replace", f"image_{i}", f"image_{j}", f"replace {subjects[i]} with {new[j]}")
        for i, j in itertools.permutations(range(len(subjects)), 2)
    ]
    for i, subject in enumerate(subjects if has_plate else ()):
        found.append(Edit("insert", PLATE, f"image_{i}", f"add {new[i]}"))
        found.append(Edit("remove", f"image_{i}", PLATE, f"remove {subject}"))
    return found


def introduce(subject: str) -> str:
    """A subject that is not in the picture yet: `the fox` is a fox. What may be a plural stays."""
    name = subject.removeprefix("the ")
    if name == subject or not name or name.endswith("s"):
        return subject
    return f"an {name}" if name[0].lower() in "aeiou" else f"a {name}"
