"""Sets that were made in a graph, one by one, kept as the records of a data set."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .filters import KEPT
from .instructions import describe_edits
from .measures import measure
from .pictures import to_bytes
from .records import lower_first
from .samples import VERSION, files_of, write_tar
from .settings import BY_HAND, Models, Settings
from .store import aside, claim, name, write_shard


def save_set(
    folder: Path,
    images_NHWC: torch.Tensor,
    prompts: Sequence[str],
    plate_1HWC: torch.Tensor | None = None,
    masks_NHW: torch.Tensor | None = None,
    entities: Sequence[str] = (),
    background: str = "",
    measures: Mapping[str, float] | None = None,
    workflow: Any = None,
    per_shard: int = 100,
) -> str:
    """Keeps one set as a record, and makes a shard of the records when there are enough.

    Parameters:
        images_NHWC: two or more RGB images in [0, 1].
        prompts, entities: one an image; without entities the instructions name the prompts.
        plate_1HWC, masks_NHW: the background, and what of each image is its own.
        measures: what was measured of the set before, by the names of `measures.MEASURES`.
        workflow: how it was made, for JSON.

    Returns the record's id, which follows from the pictures and texts.

    ValueError if images, masks, plate and texts do not fit together, or the folder holds something
    else.
    """
    check(images_NHWC, prompts, plate_1HWC, masks_NHW, entities)
    images = to_bytes(images_NHWC)
    masks = None if masks_NHW is None else (masks_NHW >= 0.5).numpy().astype(np.uint8)
    plate = None if plate_1HWC is None else to_bytes(plate_1HWC)[0]
    key = name_of(images, prompts)
    _, height, width, _ = images.shape
    subjects = list(map(lower_first, entities or prompts))
    found = measure(images_NHWC.float(), None if masks is None else torch.from_numpy(masks).float())
    content = {
        "id": key,
        "prompts": list(prompts),
        "background": background,
        "entities": list(entities),
        "subjects": subjects,
        "edits": describe_edits(subjects, plate is not None),
        "width": width,
        "height": height,
        "measures": {**found, **(measures or {})},
        "verdict": KEPT,
        "reason": None,
        "workflow": workflow,
        "version": VERSION,
    }
    claim(folder, settings(per_shard), BY_HAND)
    shard = next_shard(folder)
    with aside(folder / "parts" / name(shard) / f"{key}.tar") as file:
        write_tar(file, [(key, files_of(content, images, plate, masks))])
    if len(open_parts(folder)) >= per_shard:
        close(folder)
    return key


def check(images_NHWC, prompts, plate_1HWC, masks_NHW, entities) -> None:
    n, size = len(images_NHWC), list(images_NHWC.shape[1:3])
    if n < 2 or images_NHWC.shape[-1] != 3 or not torch.isfinite(images_NHWC).all():
        raise ValueError("A set is two or more RGB images without NaN or infinite numbers.")
    for what, found in (("prompts", prompts), ("entities", entities or prompts)):
        if len(found) != n:
            raise ValueError(f"There are {n} images but {len(found)} {what}: one line for each.")
    if masks_NHW is not None and list(masks_NHW.shape) != [n, *size]:
        raise ValueError(f"masks are {list(masks_NHW.shape)}; the images need {[n, *size]}.")
    if plate_1HWC is not None and list(plate_1HWC.shape) != [1, *size, 3]:
        raise ValueError(f"plate is {list(plate_1HWC.shape)}; the images need {[1, *size, 3]}.")


def settings(per_shard: int) -> Settings:
    """Of a data set whose records say themselves how they were made."""
    return Settings(Models(unet=BY_HAND), filters="none", per_shard=per_shard)


def name_of(images: np.ndarray, prompts: Sequence[str]) -> str:
    found = hashlib.sha256(images.tobytes())
    found.update("\n".join(prompts).encode())
    return found.hexdigest()[:16]


def next_shard(folder: Path) -> int:
    """The number of the shard that is open."""
    return sum(1 for _ in (folder / "metadata").glob("*.jsonl"))


def open_parts(folder: Path) -> list[Path]:
    """The records of the open shard, in the order in which they were made."""
    found = (folder / "parts" / name(next_shard(folder))).glob("[!.]*.tar")
    return sorted(found, key=lambda path: (path.stat().st_mtime_ns, path.name))


def close(folder: Path) -> None:
    """Makes a shard of what there is."""
    if parts := open_parts(folder):
        write_shard(folder, next_shard(folder), parts)
