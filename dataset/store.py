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
import io
import json
import os
import platform
import shutil
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import Any

from .filters import KEPT
from .samples import Files, read_tar, write_tar


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
