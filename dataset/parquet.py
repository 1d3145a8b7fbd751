"""The kept sets as Parquet, with the pictures in it: `datasets.load_dataset` shows them as images,
without a script.
"""

import io
import json
from pathlib import Path
from typing import Any

from ..metrics.packages import require
from .measures import MEASURES
from .samples import Files, numbered, read_tar
from .store import aside

TEXTS = ("id", "background", "model", "sampler", "scheduler", "mode", "verdict", "version")
LISTS = ("prompts", "entities", "subjects")
NUMBERS = ("seed", "steps", "width", "height")


def write_parquet(folder: Path) -> None:
    """A file beside each shard; those that are there stay."""
    for shard in sorted((folder / "shards").glob("*.tar")):
        path = folder / "parquet" / f"train-{shard.stem}.parquet"
        if path.is_file():
            continue
        if rows := [row_of(files) for _, files in read_tar(shard)]:
            write_rows(path, rows)


def write_rows(path: Path, rows: list[dict]) -> None:
    datasets = require("datasets", "datasets", needed_by="Writing Parquet with pictures")
    datasets.disable_progress_bars()
    table = datasets.Dataset.from_list(rows, features=features(datasets))
    buffer = io.BytesIO()
    table.to_parquet(buffer)
    with aside(path) as file:
        file.write(buffer.getbuffer())


def features(datasets: Any) -> Any:
    text, number = datasets.Value("string"), datasets.Value("int64")
    images = datasets.Sequence(datasets.Image())
    return datasets.Features(
        {key: text for key in TEXTS}
        | {key: datasets.Sequence(text) for key in LISTS}
        | {key: number for key in NUMBERS}
        | {"guidance": datasets.Value("float64")}
        | {key: datasets.Value("float64") for key in MEASURES}
        | {"edits": [{key: text for key in ("kind", "source", "target", "text")}]}
        | {"images": images, "masks": images, "uncoupled": images, "plate": datasets.Image()}
    )


def row_of(files: Files) -> dict[str, Any]:
    """One set; pictures stay as they are stored."""
    content = json.loads(files["json"])
    row = {key: content.get(key) for key in (*TEXTS, *LISTS, *NUMBERS, "guidance", "edits")}
    row |= {key: content["measures"].get(key) for key in MEASURES}
    for column, name in (("images", "image"), ("masks", "mask"), ("uncoupled", "uncoupled")):
        row[column] = [picture(files[key]) for key in numbered(files, name)]
    plate = files.get("plate.png")
    return row | {"plate": plate and picture(plate)}


def picture(content: bytes) -> dict[str, Any]:
    return {"bytes": content, "path": None}
