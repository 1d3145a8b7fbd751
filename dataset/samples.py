"""One record's files, as WebDataset has them: KEY.json and KEY.NAME.png, in a tar.

The same record gives the same bytes on every machine: no times, owners or chance in them.
"""

import io
import itertools
import json
import tarfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from .filters import KEPT

VERSION = "1"  # of a record's fields
THUMB = 96  # pixels, the height of a rejected set's strip
Files = dict[str, bytes]  # name without the key -> content


def encode(picture: np.ndarray) -> bytes:
    """A picture [H, W, 3] or a mask [H, W] in 0 and 1 as PNG."""
    buffer = io.BytesIO()
    shown = picture if picture.ndim == 3 else picture * 255
    Image.fromarray(shown.astype(np.uint8)).save(buffer, format="PNG", compress_level=6)
    return buffer.getvalue()


def strip(pictures: Sequence[bytes]) -> bytes:
    """Pictures of one size side by side, small, as JPEG."""
    arrays = [np.asarray(Image.open(io.BytesIO(one)).convert("RGB")) for one in pictures]
    row = Image.fromarray(np.concatenate(arrays, 1))
    row = row.resize((max(1, round(row.width * THUMB / row.height)), THUMB))
    buffer = io.BytesIO()
    row.save(buffer, format="JPEG", quality=80)
    return buffer.getvalue()


def files_of(
    content: Mapping[str, Any],
    images: np.ndarray,
    plate: np.ndarray | None = None,
    masks: np.ndarray | None = None,
    uncoupled: np.ndarray | None = None,
) -> Files:
    """The files of a set: of a kept one all pictures, of another a small strip."""
    files = {"json": to_json(content)}
    groups = {"image": images, "mask": masks, "uncoupled": uncoupled}
    for name, pictures in groups.items():
        for i, picture in enumerate([] if pictures is None else pictures):
            files[f"{name}_{i}.png"] = encode(picture)
    if plate is not None:
        files["plate.png"] = encode(plate)
    return files if content["verdict"] == KEPT else shrink(files)


def shrink(files: Files) -> Files:
    """The files of a set that is not kept: its JSON, and a small strip if it has pictures."""
    small = strip_of(files)
    return {"json": files["json"]} | ({} if small is None else {"strip.jpg": small})


def strip_of(files: Files) -> bytes | None:
    """The images of a set side by side, the plate last; None of a failed one."""
    if "strip.jpg" in files or not has_pictures(files):
        return files.get("strip.jpg")
    plate = ["plate.png"] if "plate.png" in files else []
    return strip([files[name] for name in (*numbered(files, "image"), *plate)])


def has_pictures(files: Files) -> bool:
    return "image_0.png" in files


def to_json(content: Mapping[str, Any]) -> bytes:
    return (json.dumps(content, ensure_ascii=False, sort_keys=True) + "\n").encode()


def write_tar(file: Any, samples: Iterable[tuple[str, Files]]) -> None:
    """Samples (key, files) in order."""
    with tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for key, files in samples:
            for name, content in sorted(files.items()):
                entry = tarfile.TarInfo(f"{key}.{name}")
                entry.size, entry.mode = len(content), 0o644
                tar.addfile(entry, io.BytesIO(content))


def read_tar(path: Path) -> Iterator[tuple[str, Files]]:
    """The samples of a shard, in order."""
    with tarfile.open(path) as tar:
        for key, entries in itertools.groupby(tar, key=lambda entry: entry.name.split(".", 1)[0]):
            yield key, {entry.name.removeprefix(f"{key}."): read(tar, entry) for entry in entries}


def read(tar: tarfile.TarFile, entry: tarfile.TarInfo) -> bytes:
    file = tar.extractfile(entry)
    assert file is not None  # shards hold files alone
    return file.read()


def numbered(files: Files, name: str) -> list[str]:
    """The names of the pictures NAME_0.png, NAME_1.png and so on, in order."""
    found = [key for key in files if key.rpartition("_")[0] == name]
    return sorted(found, key=lambda key: int(key.rpartition("_")[2].removesuffix(".png")))
