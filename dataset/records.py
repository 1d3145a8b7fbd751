"""The records that a data set is made of: what each set of pictures shows, and its seed.

They are read from JSONL, CSV, Parquet, or a grammar (JSON) that is expanded.
"""

import csv
import dataclasses
import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ..metrics.packages import require
from ..prompts.rules import split_by_rules
from ..prompts.split import SplitPrompts, clean_prompts
from .grammar import expand

ID = re.compile(r"[A-Za-z0-9_-]{1,120}")  # a file name everywhere; WebDataset cuts at the first dot
LISTS = ("prompts", "entities", "subjects")
FIELDS = ("id", "background", *LISTS, "seed", "width", "height", "plate")
LINES = re.compile(r"\s*[\n|]\s*")  # between the texts of one CSV cell
MOST = 1 << 64  # seeds are below it
MULTIPLE = 16  # pixels: Flux's patches of 2 × 2 latents


@dataclasses.dataclass(frozen=True)
class Record:
    """One set to make: n images of one background.

    subjects: what the instructions call each entity. width, height: pixels, 0 for the run's own.
    plate: a picture's path, or nothing.
    """

    id: str
    split: SplitPrompts
    subjects: tuple[str, ...]
    seed: int
    width: int = 0
    height: int = 0
    plate: str = ""

    def texts(self) -> dict[str, Any]:
        """What the record says, for JSON."""
        return {
            "id": self.id,
            "prompts": list(self.split.prompts),
            "background": self.split.background,
            "entities": list(self.split.entities),
            "subjects": list(self.subjects),
            "seed": self.seed,
        }

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Record":
        fields = json.loads(text)
        split, subjects = SplitPrompts(**fields.pop("split")), tuple(fields.pop("subjects"))
        return cls(split=split, subjects=subjects, **fields)


def read_records(path: Path) -> list[Record]:
    """All records of a file, checked.

    FileNotFoundError; ValueError names the file, the line and the field that is wrong.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {path}.")
    records = []
    places: dict[str, str] = {}
    for place, fields in read_fields(path):
        try:
            record = make_record(fields, path.parent)
        except ValueError as error:
            raise ValueError(f"{path.name}, {place}: {error}") from error
        if record.id in places:
            raise ValueError(
                f"{path.name}, {place}: the id {record.id!r} is that of {places[record.id]}, too."
                " Give each record an id of its own."
            )
        places[record.id] = place
        records.append(record)
    if not records:
        raise ValueError(f"{path.name} holds no records.")
    return records


def read_fields(path: Path) -> Iterator[tuple[str, dict]]:
    """(where it stands, its fields) of each record, as the file has them."""
    kind = path.suffix.lower()
    if kind in (".jsonl", ".ndjson"):
        yield from read_lines(path)
    elif kind == ".csv":
        with path.open(encoding="utf-8-sig", newline="") as file:
            for row in (reader := csv.DictReader(file)):
                yield f"line {reader.line_num}", read_cells(row)
    elif kind == ".parquet":
        parquet = require("pyarrow.parquet", "pyarrow", needed_by="Reading Parquet")
        for number, row in enumerate(parquet.read_table(path).to_pylist(), 1):
            yield f"row {number}", row
    elif kind == ".json":
        for number, fields in enumerate(expand(path), 1):
            yield f"expanded record {number}", fields
    else:
        raise ValueError(f"{path.name} must end in .jsonl, .csv, .parquet, or .json (a grammar).")


def read_lines(path: Path) -> Iterator[tuple[str, dict]]:
    for number, line in enumerate(path.read_text(encoding="utf-8-sig").splitlines(), 1):
        if not line.strip():
            continue
        try:
            yield f"line {number}", json.loads(line)
        except ValueError as error:
            raise ValueError(f"{path.name}, line {number} is no JSON: {error}.") from error


def read_cells(row: dict) -> dict:
    """A row of CSV: lists are written one text a line, or with | between them."""
    if None in row:
        raise ValueError("the row has more cells than the first line names.")
    return {
        key: [one for one in LINES.split(cell.strip()) if one] if key in LISTS else cell
        for key, cell in row.items()
        if cell
    }


def make_record(fields: Any, folder: Path = Path()) -> Record:
    """A record of what a file says. ValueError names the field that is missing or wrong."""
    if not isinstance(fields, dict):
        raise ValueError(f"a record must be an object, and this is {fields!r:.60}.")
    fields = {key: value for key, value in fields.items() if value is not None}
    if unknown := sorted(set(fields) - set(FIELDS)):
        raise ValueError(f"unknown field {', '.join(unknown)}; known are {', '.join(FIELDS)}.")
    split = split_texts(fields)
    name = str(fields.get("id") or name_of(split))
    if not ID.fullmatch(name):
        raise ValueError(
            f"the id {name!r:.140} must be 1 to 120 letters, digits, hyphens or underscores: it is"
            " a file name."
        )
    subjects = strings(fields, "subjects") or tuple(map(lower_first, split.entities))
    if len(subjects) != len(split.prompts):
        raise ValueError(f"there are {len(split.prompts)} prompts but {len(subjects)} subjects.")
    plate = fields.get("plate") or ""
    if plate and not (folder / plate).is_file():
        raise ValueError(f"there is no picture {plate!r} for the plate.")
    return Record(
        id=name,
        split=split,
        subjects=subjects,
        seed=whole(fields, "seed", seed_of(name)),
        width=pixels(fields, "width"),
        height=pixels(fields, "height"),
        plate=str((folder / plate).resolve()) if plate else "",
    )


def split_texts(fields: dict) -> SplitPrompts:
    """The split set: given as background and entities, or the prompts split by rules."""
    prompts, entities = strings(fields, "prompts"), strings(fields, "entities")
    if "background" in fields or entities:
        background = fields.get("background", "")
        if not is_text(background):
            raise ValueError(f"background must be a text; it is {background!r:.60}.")
        prompts = prompts or tuple(join(entity, background) for entity in entities)
        if len(prompts) != len(entities):
            raise ValueError(f"there are {len(prompts)} prompts but {len(entities)} entities.")
        split = SplitPrompts(background, entities, prompts)
    elif prompts:
        return split_by_rules(clean_prompts(prompts))
    else:
        raise ValueError("give prompts, or background and entities.")
    if len(split.prompts) < 2:
        raise ValueError("a set needs two entities or more.")
    return split


def join(entity: str, background: str) -> str:
    """The whole prompt of a split one."""
    return f"{entity.rstrip(' .,')}, {lower_first(background)}."


def strings(fields: dict, key: str) -> tuple[str, ...]:
    found = fields.get(key, [])
    if not isinstance(found, list | tuple) or not all(map(is_text, found)):
        raise ValueError(f"{key} must be a list of texts, none of them empty; it is {found!r:.60}.")
    return tuple(found)


def is_text(found: Any) -> bool:
    return isinstance(found, str) and bool(found.strip())


def whole(fields: dict, key: str, default: int) -> int:
    """A whole number, which CSV writes as a text."""
    found = fields.get(key, default)
    digits = str(found).strip()
    if not (digits.isdecimal() and int(digits) < MOST):
        raise ValueError(f"{key} must be a whole number from 0 to {MOST - 1}; it is {found!r}.")
    return int(digits)


def pixels(fields: dict, key: str) -> int:
    number = whole(fields, key, 0)
    if number % MULTIPLE:
        raise ValueError(f"{key} must be a multiple of {MULTIPLE} pixels; it is {number}.")
    return number


def seed_of(name: str) -> int:
    """The seed of a record without one: from its id alone, so that it is the same in any sharding
    of any list.
    """
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:6], "big")


def name_of(split: SplitPrompts) -> str:
    """The id of a record without one: from its texts alone."""
    texts = json.dumps([split.background, split.entities, split.prompts])
    return hashlib.sha256(texts.encode()).hexdigest()[:16]


def lower_first(text: str) -> str:
    """`text` as it stands within a sentence: a small first letter but for I and acronyms, no full
    stop.
    """
    text = text.rstrip(" .")
    return text if len(text) > 1 and text[1].isupper() else text[:1].lower() + text[1:]


def identify(records: Sequence[Record]) -> dict[str, Any]:
    """Changes with anything that a record says, and with their order."""
    texts = json.dumps([dataclasses.astuple(record) for record in records])
    return {"count": len(records), "sha256": hashlib.sha256(texts.encode()).hexdigest()}
