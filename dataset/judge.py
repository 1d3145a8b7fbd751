"""Judges a data set again: the folder is then as if it had been made with other filters.

Of a set that is kept no more a small strip stays. A set that is kept now, and whose pictures are
gone, is to be made again: until then its shard is open, its records parts.
"""

import json
import shutil
from pathlib import Path

from .claim import JUDGING, change_filters, read_settings
from .filters import FAILED, KEPT, Filters
from .samples import has_pictures, read_tar, shrink, to_json
from .store import (
    find_parts,
    name,
    part_path,
    read_lines,
    write_aside,
    write_part,
    write_shard,
)


def judge_again(folder: Path, filters: Filters) -> None:
    """Gives all records of a data set the verdict of these filters. It may be stopped: until it
    has been run to its end, `make` and `finish` refuse the folder.

    FileNotFoundError if the folder holds no data set; ValueError if a graph made it.
    """
    if read_settings(folder).models.by_hand:
        raise ValueError(
            f"{folder} was made in a graph, and what filters reject could not be made again. Filter"
            " its records by their measures where they are read."
        )
    write_aside(folder / JUDGING, b"")
    change_filters(folder, filters)
    for path in sorted((folder / "metadata").glob("*.jsonl")):
        judge_shard(folder, int(path.stem), filters)
    for part in find_parts(folder):
        judge_part(part, filters)
    (folder / JUDGING).unlink()


def judge_shard(folder: Path, shard: int, filters: Filters) -> None:
    """Makes a shard of its records again if a verdict changes, or opens it."""
    metadata = folder / "metadata" / f"{name(shard)}.jsonl"
    records = read_lines(metadata)
    parts = [part_path(folder, shard, one["id"]) for one in records]
    was_stopped_here = parts[0].parent.is_dir()
    if not was_stopped_here and not any(changes(one, filters) for one in records):
        return
    remove_formats(folder, shard)
    tars = [folder / kind / f"{name(shard)}.tar" for kind in ("shards", "rejected")]
    for tar in tars:
        unpack(tar, parts[0].parent)
    for part in parts:
        judge_part(part, filters)
    if all(part.is_file() for part in parts):
        write_shard(folder, shard, parts)
        return
    for path in (metadata, *tars):
        path.unlink()


def changes(record: dict, filters: Filters) -> bool:
    if record["verdict"] == FAILED:
        return False
    return filters.judge(record["measures"]) != (record["verdict"], record["reason"])


def remove_formats(folder: Path, shard: int) -> None:
    """What was written of the shard in other formats; `finish` writes it again."""
    (folder / "parquet" / f"train-{name(shard)}.parquet").unlink(missing_ok=True)
    shutil.rmtree(folder / "folders", ignore_errors=True)


def unpack(tar: Path, parts: Path) -> None:
    """The records of a shard as parts; those that are there stay."""
    for key, files in read_tar(tar):
        if not (parts / f"{key}.tar").is_file():
            write_part(parts / f"{key}.tar", files)


def judge_part(part: Path, filters: Filters) -> None:
    """Gives a record its verdict. It is gone if it is kept now and its pictures are not there."""
    if not part.is_file():
        return
    ((_, files),) = read_tar(part)
    record = json.loads(files["json"])
    if not changes(record, filters):
        return
    record["verdict"], record["reason"] = filters.judge(record["measures"])
    files["json"] = to_json(record)
    if record["verdict"] != KEPT:
        write_part(part, shrink(files))
    elif has_pictures(files):
        write_part(part, files)
    else:
        part.unlink()
