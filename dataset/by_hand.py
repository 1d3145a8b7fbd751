"""Sets that were made in a graph, one by one, kept as the records of a data set.

Legend: N images of H × W pixels.
"""

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from .claim import claim
from .filters import KEPT, Filters
from .instructions import describe_edits
from .measures import measure
from .pictures import to_bytes
from .records import lower_first
from .samples import VERSION, Files, files_of
from .settings import BY_HAND, Models, Settings
from .store import name, part_path, write_part, write_shard


@dataclasses.dataclass(frozen=True)
class HandMade:
    """A set that was made in a graph.

    Parameters:
        images_NHWC: two or more RGB images in [0, 1].
        prompts, entities: one an image; without entities the instructions name the prompts.
        background: the text that all images share.
        plate_1HWC, masks_NHW: the background, and what of each image is its own.
        measures: what was measured of the set before, by the names of `measures.MEASURES`.
        workflow: how it was made, for JSON.
    """

    images_NHWC: torch.Tensor
    prompts: Sequence[str]
    plate_1HWC: torch.Tensor | None = None
    masks_NHW: torch.Tensor | None = None
    entities: Sequence[str] = ()
    background: str = ""
    measures: Mapping[str, float] = dataclasses.field(default_factory=dict)
    workflow: Any = None

    def check(self) -> None:
        """ValueError if images, masks, plate and texts do not fit together."""
        n, *size, channels = self.images_NHWC.shape
        if n < 2 or channels != 3 or not torch.isfinite(self.images_NHWC).all():
            raise ValueError("A set is two or more RGB images without NaN or infinite numbers.")
        for what, texts in (("prompts", self.prompts), ("entities", self.entities or self.prompts)):
            if len(texts) != n:
                raise ValueError(
                    f"There are {n} images but {len(texts)} {what}: one line for each."
                )
        shapes = {
            "masks": (self.masks_NHW, [n, *size]),
            "plate": (self.plate_1HWC, [1, *size, 3]),
        }
        for what, (found, wanted) in shapes.items():
            if found is not None and list(found.shape) != wanted:
                raise ValueError(
                    f"The shape of {what} is {list(found.shape)}; the images need {wanted}."
                )

    def identify(self) -> str:
        """An id that follows from pictures and texts."""
        found = hashlib.sha256(to_bytes(self.images_NHWC).tobytes())
        found.update("\n".join(self.prompts).encode())
        return found.hexdigest()[:16]

    def describe(self) -> dict[str, Any]:
        """The record, for JSON."""
        subjects = list(map(lower_first, self.entities or self.prompts))
        masks_NHW = None if self.masks_NHW is None else (self.masks_NHW >= 0.5).float()
        return {
            "id": self.identify(),
            "prompts": list(self.prompts),
            "background": self.background,
            "entities": list(self.entities),
            "subjects": subjects,
            "edits": describe_edits(subjects, self.plate_1HWC is not None),
            "width": self.images_NHWC.shape[2],
            "height": self.images_NHWC.shape[1],
            "measures": {**measure(self.images_NHWC.float(), masks_NHW), **self.measures},
            "verdict": KEPT,
            "reason": None,
            "workflow": self.workflow,
            "version": VERSION,
        }

    def files(self) -> Files:
        return files_of(
            self.describe(),
            to_bytes(self.images_NHWC),
            None if self.plate_1HWC is None else to_bytes(self.plate_1HWC)[0],
            None if self.masks_NHW is None else (self.masks_NHW >= 0.5).byte().numpy(),
        )


def save_set(folder: Path, made: HandMade, per_shard: int = 100) -> str:
    """Keeps one set as a record, and makes a shard of the records when there are enough.

    Returns the record's id.

    ValueError if the set's parts do not fit together, or the folder holds something else.
    """
    made.check()
    key = made.identify()
    claim(folder, settings(per_shard), BY_HAND)
    write_part(part_path(folder, next_shard(folder), key), made.files())
    if len(open_parts(folder)) >= per_shard:
        close(folder)
    return key


def settings(per_shard: int) -> Settings:
    """Of a data set whose records say themselves how they were made."""
    return Settings(Models(unet=BY_HAND), filters=Filters("none"), per_shard=per_shard)


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
