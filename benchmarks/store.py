"""What a run leaves on disk: one line of JSON per result, and the pictures, so that the next run
goes on from there.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from PIL import Image

Key = tuple[str, int, str]  # (set, seed, method)
Record = dict


class Store:
    """A folder with `records.jsonl` and, for each result, its images and masks as PNG strips, side
    by side.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self.file = folder / "records.jsonl"

    def records(self) -> dict[Key, Record]:
        """The last record of each key; a line that an interrupted run tore is passed over."""
        found = {}
        lines = self.file.read_text(encoding="utf-8").splitlines() if self.file.exists() else []
        for line in lines:
            try:
                record = json.loads(line)
            except ValueError:
                continue
            found[record["set"], record["seed"], record["method"]] = record
        return found

    def append(self, record: Record) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        torn = self.file.exists() and not self.file.read_bytes().endswith(b"\n")
        with self.file.open("a", encoding="utf-8") as file:
            if torn:
                file.write("\n")
            file.write(json.dumps(record, allow_nan=False) + "\n")

    def path(self, key: Key, kind: str) -> Path:
        name, seed, method = key
        return self.folder / "pictures" / name / f"{seed}-{method}.{kind}.png"

    def save(self, key: Key, kind: str, pictures_NHWC: torch.Tensor) -> None:
        """Pictures [N, H, W, 3] or masks [N, H, W] in [0, 1], at 8 bits."""
        path = self.path(key, kind)
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels_NHWC = (pictures_NHWC.cpu().float() * 255).round().clamp(0, 255).byte().numpy()
        strip = np.concatenate(list(pixels_NHWC), 1)
        Image.fromarray(strip).save(path, compress_level=1)

    def load(self, key: Key, kind: str, n: int) -> torch.Tensor:
        """The n pictures or masks as saved, in [0, 1]."""
        strip = np.asarray(Image.open(self.path(key, kind)), dtype=np.float32) / 255
        return torch.from_numpy(np.stack(np.split(strip, n, 1)))
