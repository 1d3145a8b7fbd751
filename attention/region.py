"""Where in a picture its entity stands, and when that is decided. Pure functions: a new way to find
the region goes here, and its numbers stand at the top.

Legend: N rows, the images and, as the last one, the plate; n images; C channels, H × W latent
pixels, h × w image tokens of patch × patch latent pixels, S = h·w.
"""

import torch
from torch.nn import functional as F

# When it is decided, as a share of the noise level at which theta rose and the rows parted: before
# that a subject has no shape yet, and later more of the background has drifted.
NOISE = 0.975
ATTENTION = 0.25  # the weight of where the entity's text is attended to, beside the difference
PART = 0.25  # of the largest part of what was found: smaller ones are drift
MARGIN_SHARE = 16  # around what was found, of a picture's shorter side: feet and shadows
MOST = 0.85  # of a picture: where more differs, subject and background cannot be told apart
MIN_DIFFERENCE = 1e-4  # mean squared difference of latents (deviation 1) that is surely none
# A picture's shorter side is smoothed over this share of it, and over 3 latent pixels at least.
SMOOTHING_SHARE = 24


def is_time(noise: float, last_step: bool) -> bool:
    """Whether a step is the one to decide in, if none before it was.

    noise: its noise level as a share of that at which the rows parted.
    """
    return last_step or noise <= NOISE


def find_region(
    contrast_NS: torch.Tensor | None, x0_NCHW: torch.Tensor, patch: int
) -> torch.Tensor:
    """The latent pixels of each image that show its entity, with a margin; [n, H, W], bool.

    Two signs are added, each standardized over the picture: the difference from the plate, and the
    contrast (None: not known). The sum is split into two classes (Otsu 1979), so a subject of any
    size is found, and of the higher one the large parts count. Each image is judged by itself and
    the plate, so any images per pass give the same.
    """
    score_N1HW = standardize(difference(x0_NCHW.float()))
    if contrast_NS is not None:
        contrast_N1HW = spread_over_pixels(contrast_NS, *x0_NCHW.shape[-2:], patch)
        score_N1HW = score_N1HW + ATTENTION * standardize(contrast_N1HW)
    score_nHW = score_N1HW[:-1, 0]
    found_nHW = large_parts(score_nHW > split(score_nHW))
    margin = min(x0_NCHW.shape[-2:]) // MARGIN_SHARE
    # What is widened too far and brought back has no holes.
    return ~widen(~widen(found_nHW, 2 * margin), margin)


def split(score_nHW: torch.Tensor) -> torch.Tensor:
    """The number [n, 1, 1] that parts each picture's pixels into the two classes whose means lie
    furthest apart, by the variance between them; halfway between two pixels.
    """
    values_nS = score_nHW.flatten(1).sort(1).values
    sums_nS = values_nS.cumsum(1)
    S = values_nS.shape[1]
    k = torch.arange(1, S, device=values_nS.device)
    between = (sums_nS[:, -1:] * k / S - sums_nS[:, :-1]).square() / (k * (S - k))
    i_n1 = between.argmax(1, keepdim=True)
    split_n1 = (values_nS.gather(1, i_n1) + values_nS.gather(1, i_n1 + 1)) / 2
    return split_n1[:, :, None]


def large_parts(found_nHW: torch.Tensor) -> torch.Tensor:
    """Without the parts, of pixels that touch, that are small beside the picture's largest."""
    n, H, W = found_nHW.shape
    names = torch.arange(1, H * W + 1.0, device=found_nHW.device).view(H, W)
    names_nHW, before = names * found_nHW, None
    while before is None or not torch.equal(names_nHW, before):  # the highest name spreads
        before = names_nHW
        names_nHW = F.max_pool2d(names_nHW[:, None], 3, 1, 1)[:, 0] * found_nHW
    index_nS = names_nHW.flatten(1).long()
    ones_nS = found_nHW.flatten(1).float()
    sizes = ones_nS.new_zeros(n, H * W + 1).scatter_add_(1, index_nS, ones_nS)
    large = sizes >= PART * sizes.amax(1, keepdim=True)
    return found_nHW & large.gather(1, index_nS).view(n, H, W)


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


def difference(x0_NCHW: torch.Tensor) -> torch.Tensor:
    """The root of the difference from the plate, root of the mean square over the channels and a
    spot around; [N, 1, H, W]. (As it is, one bright spot of a subject would hide the rest of it.)
    """
    squares_N1HW = (x0_NCHW - x0_NCHW[-1:]).square().mean(1, keepdim=True)
    spot = max(3, min(squares_N1HW.shape[-2:]) // SMOOTHING_SHARE | 1)
    means = F.avg_pool2d(squares_N1HW, spot, 1, spot // 2, count_include_pad=False)
    return (MIN_DIFFERENCE + means) ** 0.25


def standardize(t_N1HW: torch.Tensor) -> torch.Tensor:
    """To mean 0 and deviation 1 over each picture."""
    spread, mean = torch.std_mean(t_N1HW, (2, 3), keepdim=True)
    return (t_N1HW - mean) / spread.clamp(min=1e-6)
