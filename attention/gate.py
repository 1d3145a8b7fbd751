"""Where in a picture its entity stands: contrast and x0 in, region out. Pure functions; a new way
to find the region goes here.

Legend: N rows, the images and, as the last one, the plate; C channels, H × W latent pixels,
S image tokens of patch × patch latent pixels.
"""

import torch
from torch.nn import functional as F

# Chosen on training sets of the mini world: docs/tried.md
SHARPNESS = 4.0
THRESHOLD = 1.5
# What is nearer to 0 or 1 counts as that, so most of the background is the plate itself.
GATE_MARGIN = 0.05
MIN_DIFFERENCE = 1e-4  # mean squared difference of latents (deviation 1) that is surely none
# A picture's shorter side is smoothed over this share of it, and over 3 latent pixels at least.
SMOOTHING_SHARE = 24


def find_region(contrast_NS: torch.Tensor, x0_NCHW: torch.Tensor, patch: int) -> torch.Tensor:
    """1 on the entity, 0 outside, 1 in the plate's row; [N, 1, H, W], float32.

    Two signs are added, each standardized over the picture: the contrast, and the log of the
    difference from the plate. The first alone is coarse, the second alone takes all drift for the
    entity. Each image is judged by itself and the plate, so any images per pass give the same.
    """
    contrast_N1HW = spread_over_pixels(contrast_NS, *x0_NCHW.shape[-2:], patch)
    difference_N1HW = log_difference(x0_NCHW.float())
    score_N1HW = standardize(contrast_N1HW) + standardize(difference_N1HW)
    region_N1HW = torch.sigmoid(SHARPNESS * (score_N1HW - THRESHOLD))
    region_N1HW = ((region_N1HW - GATE_MARGIN) / (1 - 2 * GATE_MARGIN)).clamp(0, 1)
    region_N1HW[-1] = 1
    return region_N1HW


def spread_over_pixels(
    contrast_NS: torch.Tensor, height: int, width: int, patch: int
) -> torch.Tensor:
    """A number for each image token, on the latent pixels [N, 1, H, W].

    The tokens of reference images come after.
    """
    h = -(-height // patch)
    w = -(-width // patch)
    tokens_N1hw = contrast_NS[:, : h * w].reshape(-1, 1, h, w)
    pixels = F.interpolate(tokens_N1hw, scale_factor=float(patch), mode="bilinear")
    return pixels[..., :height, :width]


def log_difference(x0_NCHW: torch.Tensor) -> torch.Tensor:
    """log of the squared difference from the plate, mean over the channels and a spot around;
    [N, 1, H, W].
    """
    squares_N1HW = (x0_NCHW - x0_NCHW[-1:]).square().mean(1, keepdim=True)
    spot = max(3, min(squares_N1HW.shape[-2:]) // SMOOTHING_SHARE | 1)
    means = F.avg_pool2d(squares_N1HW, spot, 1, spot // 2, count_include_pad=False)
    return torch.log(MIN_DIFFERENCE + means)


def standardize(t_N1HW: torch.Tensor) -> torch.Tensor:
    """To mean 0 and deviation 1 over each picture."""
    spread, mean = torch.std_mean(t_N1HW, (2, 3), keepdim=True)
    return (t_N1HW - mean) / spread.clamp(min=1e-6)
