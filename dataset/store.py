"""A data set's folder. A record that is done is a small tar in parts/; when all records of a shard
are there, they become the shard. Files are written aside and renamed, so what is there is whole.

    settings.json             how it was made
    shards/000012.tar         the kept sets, WebDataset
    rejected/000012.tar       the others, their measures and a small strip
    metadata/000012.jsonl     all of them, without pictures; a shard is done when this is there
    parts/000012/KEY.tar      of a shard that is not
    .judging                  while all of it is judged again
"""

import contextlib
import dataclasses
import io
import json
import os
import platform
import shutil
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import Any

from .filters import KEPT, Filters
from .samples import Files, read_tar, write_tar
from .settings import Settings

SETTINGS = "settings.json"
JUDGING = ".judging"  # there while the data set is judged again


@contextlib.contextmanager
def aside(path: Path, durable: bool = True) -> Generator[io.BufferedWriter, None, None]:
    """A file that appears at `path` when it is whole, and not at all after an error. `durable`:
    even if the machine loses its power, which takes a few milliseconds.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{platform.node()}.{os.getpid()}")
    try:
        with draft.open("wb") as file:
            yield file
            file.flush()
            if durable:
                os.fsync(file.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def write_aside(path: Path, content: bytes, durable: bool = True) -> None:
    with aside(path, durable) as file:
        file.write(content)


class Store:
    """The folder `root` of a data set. `keys`: its records in order, or nothing where they are not
    known beforehand.
    """

    def __init__(self, root: Path, keys: Sequence[str], per_shard: int):
        self.root = Path(root)
        self.keys = list(keys)
        self.per_shard = per_shard
        self.places = {key: i // per_shard for i, key in enumerate(self.keys)}

    @property
    def shards(self) -> range:
        return range(-(-len(self.keys) // self.per_shard))

    def keys_of(self, shard: int) -> list[str]:
        return self.keys[shard * self.per_shard : (shard + 1) * self.per_shard]

    def part(self, key: str) -> Path:
        return part_path(self.root, self.places[key], key)

    def is_done(self, shard: int) -> bool:
        return (self.root / "metadata" / f"{name(shard)}.jsonl").is_file()

    def missing(self, shard: int) -> list[str]:
        """The records of a shard that are yet to be made."""
        if self.is_done(shard):
            return []
        there = {path.stem for path in (self.root / "parts" / name(shard)).glob("[!.]*.tar")}
        return [key for key in self.keys_of(shard) if key not in there]

    def has(self, key: str) -> bool:
        """Whether a record is on disk, in its part or its shard."""
        return self.part(key).is_file() or self.is_done(self.places[key])

    def add(self, key: str, files: Files) -> None:
        """Keeps a record."""
        write_part(self.part(key), files)

    def count_start(self, key: str) -> int:
        """How often a record was begun, this time among them."""
        part = self.part(key)
        part.parent.mkdir(parents=True, exist_ok=True)
        with part.with_name(f".{key}.starts").open("ab") as file:
            file.write(b".")
            return file.tell()

    def close(self, shard: int) -> bool:
        """Makes the shard of its parts, if all are there; whether it is done."""
        if self.is_done(shard):  # a run that was killed here may have left the parts
            shutil.rmtree(self.root / "parts" / name(shard), ignore_errors=True)
            return True
        if self.missing(shard):
            return False
        write_shard(self.root, shard, [self.part(key) for key in self.keys_of(shard)])
        return True


def write_shard(root: Path, shard: int, parts: Sequence[Path]) -> None:
    """The parts, in order, as a shard; they are gone afterwards."""
    lines = []
    for folder, wanted in (("shards", True), ("rejected", False)):
        with aside(root / folder / f"{name(shard)}.tar") as file:
            write_tar(file, (one for one in read_parts(parts) if is_kept(one[1]) == wanted))
    for _, files in read_parts(parts):
        lines.append(files["json"])
    write_aside(root / "metadata" / f"{name(shard)}.jsonl", b"".join(lines))
    for folder in {part.parent for part in parts}:
        shutil.rmtree(folder, ignore_errors=True)


def write_part(part: Path, files: Files) -> None:
    with aside(part) as file:
        write_tar(file, [(part.stem, files)])


def read_parts(parts: Sequence[Path]) -> Iterator[tuple[str, Files]]:
    for part in parts:
        yield from read_tar(part)


def is_kept(files: Files) -> bool:
    return json.loads(files["json"])["verdict"] == KEPT


def part_path(root: Path, shard: int, key: str) -> Path:
    return root / "parts" / name(shard) / f"{key}.tar"


def find_parts(root: Path) -> list[Path]:
    """The records of all shards that are not done."""
    return sorted(root.glob("parts/*/[!.]*.tar"))


def name(shard: int) -> str:
    return f"{shard:06}"


def read_metadata(root: Path) -> list[dict[str, Any]]:
    """All records of the shards that are done, in order."""
    found: list[dict[str, Any]] = []
    for path in sorted((root / "metadata").glob("*.jsonl")):
        found += read_lines(path)
    return found


def read_lines(path: Path) -> list[dict[str, Any]]:
    return list(map(json.loads, path.read_text(encoding="utf-8").splitlines()))


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
