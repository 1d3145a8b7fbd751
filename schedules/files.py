"""Schedules as JSON: {"format": "coupled-theta", "version": 1, "name", "values", "source"}.

`values` is the truth. `source` says where they come from; when it names a family whose values they
are, that family is restored, exact at any number of steps.
"""

import json
from pathlib import Path

from .families import FAMILIES, family
from .schedule import ThetaSchedule
from .table import Table

FORMAT = "coupled-theta"
VERSION = 1
MAX_BYTES = 1_000_000
MAX_NAME = 200
SAME = 1e-9


def to_json(schedule: ThetaSchedule) -> str:
    """A schedule file's text: a family at its reference steps (a constant: one), a table as is."""
    values = (
        list(schedule.knots)
        if isinstance(schedule, Table)
        else schedule.values(_natural_steps(schedule))
    )
    source = {"origin": schedule.origin} if isinstance(schedule, Table) else schedule.parameters
    document = {
        "format": FORMAT,
        "version": VERSION,
        "name": _name(schedule.name),
        "values": values,
        "source": {"shape": schedule.shape, **source},
    }
    lines = [
        f"  {json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}"
        for key, value in document.items()
    ]
    return "{\n" + ",\n".join(lines) + "\n}\n"


def from_json(text: str) -> ThetaSchedule:
    """The schedule a file's text holds.

    ValueError that says what is wrong, for anything but a valid file.
    """
    document = _document(text)
    name, values = _name(document.get("name")), document.get("values")
    if not isinstance(values, list) or any(type(value) not in (int, float) for value in values):
        raise ValueError('"values" must be a list of numbers.')
    source = document.get("source", {})
    if not isinstance(source, dict):
        raise ValueError('"source" must be an object.')
    origin = source.get("origin", "")
    table = Table(tuple(values), name, origin if isinstance(origin, str) else "")
    return _family_of(source, table) or table


def read_schedule(path: str | Path) -> ThetaSchedule:
    """Reads a schedule file; ValueError, with its name, if it is too large or not valid."""
    path = Path(path)
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise ValueError(f"it is larger than {MAX_BYTES // 1000} kB.")
        return from_json(
            data.decode("utf-8-sig")
        )  # some editors begin a file with a byte order mark
    except OSError as error:
        raise ValueError(f"{path.name} cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise ValueError(f"{path.name} is not a valid theta-schedule: {error}") from error


def write_schedule(schedule: ThetaSchedule, path: str | Path) -> None:
    """Writes a new file; never over an existing one (FileExistsError)."""
    with Path(path).open("x", encoding="utf-8", newline="\n") as file:
        file.write(to_json(schedule))


def lies_within(folder: str | Path, path: str | Path) -> bool:
    """Whether `path`, links followed, lies in `folder`.

    The host has such a function only from 0.28 on.
    """
    try:
        return Path(path).resolve().is_relative_to(Path(folder).resolve())
    except (ValueError, OSError, RuntimeError):  # a null byte, links in a circle
        return False


def _natural_steps(schedule: ThetaSchedule) -> int:
    return getattr(schedule, "reference_steps", 1)


def _document(text: str) -> dict:
    """The file's object, once its format and version are known to be ours."""
    try:
        document = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON (line {error.lineno}: {error.msg}).") from error
    except RecursionError:
        raise ValueError("it is nested too deeply.") from None
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise ValueError(f'it does not say "format": "{FORMAT}".')
    version = document.get("version")
    if type(version) is not int or version < 1:
        raise ValueError(f'"version" must be a whole number from 1, not {str(version)[:40]!r}.')
    if version > VERSION:
        raise ValueError(
            f"it has version {version}, and this release reads version {VERSION}. Update Coupled."
        )
    return document


def _name(name: object) -> str:
    if not isinstance(name, str) or not name or len(name) > MAX_NAME or not name.isprintable():
        raise ValueError(f'"name" must be 1 to {MAX_NAME} printable characters.')
    return name


def _family_of(source: dict, table: Table) -> ThetaSchedule | None:
    """The family that `source` names, if the values are its own: they may have been edited."""
    shape, parameters = source.get("shape"), {k: v for k, v in source.items() if k != "shape"}
    if not isinstance(shape, str) or shape not in FAMILIES:
        return None
    try:
        schedule = family(shape, **{**parameters, "name": table.name})
    except ValueError:
        return None
    if len(table.knots) != _natural_steps(schedule):
        return None
    same = all(
        abs(a - b) <= SAME
        for a, b in zip(schedule.values(len(table.knots)), table.knots, strict=True)
    )
    return schedule if same else None
