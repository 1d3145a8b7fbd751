"""How whole a painted subject is: in the mini world each subject is a known drawing, so the mask of
a painted one is laid beside it.
"""

import numpy as np
import torch
from PIL import Image, ImageOps

from coupled.mini.world.subjects import Subject, sprite

COARSE, FINE = 64, 160  # sides at which the masks are compared
SCALES = np.geomspace(0.12, 1.2, 40)  # longer side of the drawing, in sides of the picture
AROUND = np.linspace(0.95, 1.05, 9)  # of the best of them, for the fine comparison


def wholeness(mask_HW: torch.Tensor, subject: Subject) -> float:
    """The best intersection over union of a mask, in [0, 1], with the subject's drawing over all
    places, sizes and both mirrors; parts outside of the frame do not count. 0 for an empty mask.
    """
    if not (mask_HW > 0.5).any():
        return 0.0
    drawing = sprite(subject).getchannel("A")
    sides = (drawing, ImageOps.mirror(drawing))
    coarse = [fits(mask_HW, side, SCALES, COARSE) for side in sides]
    best = max(range(2), key=lambda i: coarse[i].max())
    scales = SCALES[int(coarse[best].argmax())] * AROUND
    return float(fits(mask_HW, sides[best], scales, FINE).max())


def fits(mask_HW: torch.Tensor, drawing: Image.Image, scales, side: int) -> torch.Tensor:
    """For each scale the best intersection over union over all places."""
    mask = torch.nn.functional.interpolate(mask_HW[None, None].float(), (side, side), mode="area")
    mask_HW = (mask[0, 0] > 0.5).float()
    shapes_NHW = torch.stack([draw_shape(drawing, scale, side) for scale in scales])
    both_NHW = correlate(mask_HW, shapes_NHW)
    inside_NHW = correlate(torch.ones_like(mask_HW), shapes_NHW)
    return (both_NHW / (inside_NHW + mask_HW.sum() - both_NHW)).amax((1, 2))


def draw_shape(drawing: Image.Image, scale: float, side: int) -> torch.Tensor:
    """The drawing as a mask on a square of twice the side, in its upper left corner."""
    factor = scale * side / max(drawing.size)
    size = [max(1, round(length * factor)) for length in drawing.size]
    square = Image.new("L", (2 * side, 2 * side))
    square.paste(drawing.resize(size, Image.Resampling.BOX))
    return torch.from_numpy(np.asarray(square) > 127).float()


def correlate(mask_HW: torch.Tensor, shapes_NHW: torch.Tensor) -> torch.Tensor:
    """How many pixels of the mask each shape covers, for each shift of the shape."""
    size = shapes_NHW.shape[-2:]
    spectrum = torch.fft.rfft2(mask_HW, s=size) * torch.fft.rfft2(shapes_NHW).conj()
    return torch.fft.irfft2(spectrum, s=size).round()
