"""A sheet of many pictures, to look at."""

from pathlib import Path

import torch
from PIL import Image

COLUMNS = 10


def save_sheet(images_NHWC: torch.Tensor, path: Path, columns: int = COLUMNS) -> None:
    """All pictures, row by row, as one PNG."""
    _, height, width, _ = images_NHWC.shape
    pixels = (images_NHWC.clamp(0, 1) * 255).round().byte().cpu().numpy()
    rows = -(-len(pixels) // columns)
    sheet = Image.new("RGB", (columns * width, rows * height))
    for i, picture in enumerate(pixels):
        row, column = divmod(i, columns)
        sheet.paste(Image.fromarray(picture), (column * width, row * height))
    sheet.save(path)
