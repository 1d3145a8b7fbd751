"""What a data set's folder says of itself: how it is made, and of which records."""

import dataclasses
import json
from pathlib import Path
from typing import Any

from .filters import Filters
from .settings import Settings
from .store import read_metadata, write_aside

SETTINGS = "settings.json"
JUDGING = ".judging"  # there while the data set is judged again


def claim(root: Path, settings: Settings, records: Any) -> None:
    """Writes down how the folder's data set is made; `records`, for JSON, stands for all of them.

    ValueError if it holds another one, or is being judged again.
    """
    said = {"records": records, "settings": json.loads(settings.to_json())}
    if (root / SETTINGS).is_file():
        check_same(root, said)
        return
    if root.is_dir() and any(root.iterdir()):
        raise ValueError(f"{root} is not empty and holds no data set. Give another folder.")
    write_said(root, said)


def check_same(root: Path, said: dict[str, Any]) -> None:
    check_judged(root)
    other = read_said(root)
    settings = other.get("settings", {})
    changed = [key for key, value in said["settings"].items() if value != settings.get(key)]
    if said["records"] != other.get("records"):
        changed.append("records")
    if changed:
        judging = (
            f" `dataset judge {root} --filters …` changes them." if changed == ["filters"] else ""
        )
        raise ValueError(
            f"{root} holds a data set that was begun with other {', '.join(changed)}. Give the"
            f" same to go on with it, or another folder.{judging}"
        )


def check_judged(root: Path) -> None:
    """ValueError while some records have the verdict of other filters."""
    if (root / JUDGING).exists():
        raise ValueError(f"{root} is half judged. Run `dataset judge` on it again, to its end.")


def read_settings(root: Path) -> Settings:
    """FileNotFoundError if the folder holds no data set."""
    return Settings.from_json(json.dumps(read_said(root)["settings"]))


def count_missing(root: Path) -> int:
    """How many records are yet to be made; none where they are not known beforehand."""
    records = read_said(root)["records"]
    if not isinstance(records, dict):
        return 0
    return records["count"] - len(read_metadata(root))


def read_license(root: Path) -> str:
    """Of the model and its pictures, as `write_license` wrote it; empty if nobody did."""
    return read_said(root).get("license", "")


def write_license(root: Path, text: str) -> None:
    write_said(root, {**read_said(root), "license": text})


def change_filters(root: Path, filters: Filters) -> None:
    said = read_said(root)
    said["settings"]["filters"] = dataclasses.asdict(filters)
    write_said(root, said)


def read_said(root: Path) -> dict[str, Any]:
    """What `claim` wrote."""
    path = root / SETTINGS
    if not path.is_file():
        raise FileNotFoundError(f"{root} holds no data set: there is no {SETTINGS}.")
    return json.loads(path.read_text(encoding="utf-8"))


def write_said(root: Path, said: dict[str, Any]) -> None:
    write_aside(root / SETTINGS, json.dumps(said, indent=1).encode())
