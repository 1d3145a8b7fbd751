"""A drawn scene that stands for a user's own photo: the background to try `plate` with."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image

PHOTO = Path(__file__).parent / "photo.webp"


def load_photo() -> torch.Tensor:
    """An IMAGE of the host, [1, SIZE, SIZE, 3] in [0, 1]. FileNotFoundError if it is not where the
    pack put it.
    """
    with Image.open(PHOTO) as picture:
        return torch.from_numpy(np.asarray(picture.convert("RGB"), np.float32) / 255)[None]
