"""Pictures from files, and between numbers in [0, 1] and 8 bits."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image


def read_picture(path: Path, size: tuple[int, int]) -> torch.Tensor:
    """A picture's middle at (width, height), [1, H, W, 3]. ValueError if it is no picture."""
    from PIL import ImageOps

    try:
        with Image.open(path) as picture:
            fitted = ImageOps.fit(picture.convert("RGB"), size, Image.Resampling.LANCZOS)
    except OSError as error:
        raise ValueError(f"The plate {path.name} cannot be read as a picture: {error}.") from error
    return torch.from_numpy(np.asarray(fitted).astype(np.float32) / 255)[None]


def to_bytes(images_NHWC: torch.Tensor) -> np.ndarray:
    """Pictures at 8 bits."""
    return (images_NHWC.clamp(0, 1) * 255).round().to(torch.uint8).cpu().numpy()


def to_floats(images: np.ndarray) -> torch.Tensor:
    """Pictures of 8 bits as numbers in [0, 1]."""
    return torch.from_numpy(images).float() / 255
