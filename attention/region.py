"""Where in a picture its entity stands, and when that is decided. Pure functions: a new way to find
the region goes here, and its numbers stand at the top.

Legend: N rows, the images and, as the last one, the plate; n images; C channels, H × W latent
pixels, h × w image tokens of patch × patch latent pixels, S = h·w.
"""

import dataclasses

import torch
from torch.nn import functional as F


@dataclasses.dataclass(frozen=True)
class Stage:
    """A decision on the regions, taken once in a run.

    noise: when, as a share of the noise level at which theta rose and the rows parted: before
    that a subject has no shape yet. threshold: of the score; more is in at less.
    """

    noise: float
    threshold: float


# Loosely first, so that little is computed beside the subject; tightly when it has its shape.
STAGES = (Stage(noise=0.96, threshold=1.2), Stage(noise=0.85, threshold=1.6))
MARGIN = 1  # tokens around what was found
# Tokens of a side: where it has fewer, one is too much of a picture for a margin, and half of the
# threshold takes its place: feet, wheels and shadows were cut without.
COARSE = 16
MOST = 0.85  # of a picture: where more differs, subject and background cannot be told apart
MIN_DIFFERENCE = 1e-4  # mean squared difference of latents (deviation 1) that is surely none
# A picture's shorter side is smoothed over this share of it, and over 3 latent pixels at least.
SMOOTHING_SHARE = 24


def next_stage(decided: int, noise: float, last_step: bool) -> int:
    """How many stages are decided after a step, of which `decided` were before it.

    noise: the step's noise level as a share of that at which the rows parted. Of several stages
    that are due the last one counts; the last step is the last chance.
    """
    if last_step:
        return len(STAGES)
    due = [i + 1 for i, stage in enumerate(STAGES) if noise <= stage.noise]
    return max(decided, *due) if due else decided


def find_region(
    contrast_NS: torch.Tensor | None, x0_NCHW: torch.Tensor, patch: int, threshold: float
) -> torch.Tensor:
    """The latent pixels of each image that show its entity, with a margin; [n, H, W], bool.

    Two signs are added, each standardized over the picture: the contrast (None: not known), and
    the log of the difference from the plate. The first alone is coarse, the second alone takes all
    drift for the entity. Each image is judged by itself and the plate, so any images per pass give
    the same.
    """
    score_N1HW = standardize(log_difference(x0_NCHW.float()))
    if contrast_NS is not None:
        contrast_N1HW = spread_over_pixels(contrast_NS, *x0_NCHW.shape[-2:], patch)
        score_N1HW = score_N1HW + standardize(contrast_N1HW)
    coarse = min(x0_NCHW.shape[-2:]) < COARSE * patch
    found_nHW = score_N1HW[:-1, 0] > threshold / (2 if coarse else 1)
    return found_nHW if coarse else widen(found_nHW, MARGIN * patch)


def grid_of(height: int, width: int, patch: int) -> tuple[int, int]:
    """h, w: the image tokens along the sides of a picture."""
    return -(-height // patch), -(-width // patch)


def tokens_of(pixels_nHW: torch.Tensor, patch: int) -> torch.Tensor:
    """Latent pixels, bool, as tokens [n, h, w]: those of which any pixel is in."""
    return F.max_pool2d(pixels_nHW[:, None].float(), patch, ceil_mode=True)[:, 0] > 0


def one_frame(t: torch.Tensor) -> torch.Tensor:
    """[N, C, H, W] of the latent [N, C, 1, H, W] that some families have."""
    return t.squeeze(2) if t.ndim == 5 else t


def like(t: torch.Tensor, picture: torch.Tensor) -> torch.Tensor:
    """[N, C, H, W] with the axes of a latent that may have one frame."""
    return t.unsqueeze(2) if picture.ndim == 5 else t


def whole_tokens(pixels_nHW: torch.Tensor, patch: int) -> torch.Tensor:
    """All latent pixels of the tokens of which any pixel is in, [n, H, W]."""
    tokens_nhw = tokens_of(pixels_nHW, patch)
    whole = tokens_nhw.repeat_interleave(patch, 1).repeat_interleave(patch, 2)
    return whole[:, : pixels_nHW.shape[1], : pixels_nHW.shape[2]]


def widen(pixels_nHW: torch.Tensor, by: int) -> torch.Tensor:
    """The same and what is at most `by` latent pixels away."""
    return F.max_pool2d(pixels_nHW[:, None].float(), 2 * by + 1, 1, by)[:, 0] > 0


def share_of(pixels_nHW: torch.Tensor) -> torch.Tensor:
    """Of each picture, [n]."""
    return pixels_nHW.flatten(1).float().mean(1)


def spread_over_pixels(
    contrast_NS: torch.Tensor, height: int, width: int, patch: int
) -> torch.Tensor:
    """A number for each image token, on the latent pixels [N, 1, H, W].

    The tokens of reference images come after.
    """
    h, w = grid_of(height, width, patch)
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
