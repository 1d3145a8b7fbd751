"""Background similarity, Eq. 13-15 of the paper, and a picture of where the backgrounds differ.

Shapes: N images, H rows, W columns, C = 3 colors in [0, 1]. A mask is 1 on the entity, 0 outside
it.
"""

import dataclasses
import itertools
import math
from collections.abc import Iterator

import torch

from .checks import check_images

MIN_VISIBLE = (
    0.05  # of the picture; with less in sight the number would speak of a few stray pixels
)
INSIDE = 0.5  # a pixel belongs to the entity from here on, for masks with soft edges

# Inferno, of matplotlib: even steps look evenly far apart, and it reads in gray as well.
RAMP = (
    0x000004,
    0x1B0C42,
    0x4B0C6B,
    0x781C6D,
    0xA52C60,
    0xCF4446,
    0xED6925,
    0xFB9A06,
    0xF7D03C,
    0xFCFFA4,
)
# the root mean square difference at the ramp's end; fixed, so that heat maps can be compared
BRIGHTEST = 0.3
GHOST, DIMMED = (
    0.12,
    0.35,
)  # how much of the gray picture shows where nothing differs, and in the joint region
LUMA = (0.299, 0.587, 0.114)  # Rec. 601


@dataclasses.dataclass(frozen=True)
class Similarity:
    """f_bg <= 0, and 0 is best; NaN, with a `reason`, where a number would reward a set that went
    wrong.

    validity_ratio: R of Eq. 14. joint_region_HW: bool, what was left out of the comparison.
    """

    f_bg: float
    validity_ratio: float
    joint_region_HW: torch.Tensor
    reason: str | None = None


def background_similarity(
    images_NHWC: torch.Tensor, masks_NHW: torch.Tensor, region_HW: torch.Tensor | None = None
) -> Similarity:
    """How alike the backgrounds of a set are: f_bg of Eq. 15, minus the mean squared error over
    the visible elements, averaged over all pairs.

    Parameters:
        images_NHWC: two or more RGB images in [0, 1].
        masks_NHW: 1 on the entity of each image, 0 outside.
        region_HW: what is left out instead of the joint region of the masks (Eq. 13), such as the
            union of all methods' regions when methods are compared.

    Returns f_bg <= 0 (0: the same), the validity ratio R (Eq. 14) and the joint region. f_bg is
    NaN, with a reason, if a mask is empty or less than 5 % of the picture is visible.

    ValueError if there are fewer than two images, sizes do not fit, or pixels are NaN or infinite.
    """
    check_set(images_NHWC)
    check_masks(images_NHWC, masks_NHW)
    inside_NHW = masks_NHW.to(images_NHWC.device) >= INSIDE
    region_HW = inside_NHW.any(0) if region_HW is None else check_region(images_NHWC, region_HW)
    ratio = 1 - int(region_HW.sum()) / region_HW.numel()
    reason = reason_unscorable(inside_NHW, ratio)
    return Similarity(
        math.nan if reason else mean_pair_error(images_NHWC, region_HW), ratio, region_HW, reason
    )


def mean_pair_error(images_NHWC: torch.Tensor, region_HW: torch.Tensor) -> float:
    """-(2 / (n (n-1))) Σ_{j<k} (mean squared difference outside the region)."""
    # On the CPU, for not every device has float64.
    errors = [
        float((a - b).square().cpu().mean(dtype=torch.float64))
        for a, b in visible_pairs(images_NHWC, region_HW)
    ]
    return 0.0 - sum(errors) / len(errors)  # 0.0 - …: alike images give 0, not -0


def visible_pairs(
    images_NHWC: torch.Tensor, region_HW: torch.Tensor
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """The pixels [P, C] outside the region of each pair j < k of images."""
    return itertools.combinations(images_NHWC[:, ~region_HW].float(), 2)


def reason_unscorable(inside_NHW: torch.Tensor, ratio: float) -> str | None:
    """Why a set cannot be scored, for people; None when it can."""
    empty = [str(i + 1) for i, mask_HW in enumerate(inside_NHW) if not mask_HW.any()]
    if empty:
        return (
            f"The mask of image {', '.join(empty)} is empty: no entity was drawn there, or none was"
            " found. Images without their entity would score best, so this set gets no number."
        )
    if ratio < MIN_VISIBLE:
        return (
            f"Only {100 * ratio:.1f} % of the picture lies outside the entities: too little"
            f" background to compare, which takes {100 * MIN_VISIBLE:g} %. Check that the masks are"
            " not inverted."
        )
    return None


def check_set(images_NHWC: torch.Tensor) -> None:
    """ValueError unless there are two or more RGB images of finite numbers."""
    check_images(images_NHWC)
    if images_NHWC.shape[0] < 2:
        raise ValueError(
            "Give two or more images, joined to one batch: backgrounds are compared between images,"
            f" and there is {images_NHWC.shape[0]} image."
        )


def check_masks(images_NHWC: torch.Tensor, masks_NHW: torch.Tensor) -> None:
    """ValueError unless there is one finite mask per image, of its size."""
    n, height, width = images_NHWC.shape[:3]
    if masks_NHW.ndim != 3 or masks_NHW.shape[0] != n:
        raise ValueError(
            f"Give one mask for each image, in the same order: each image needs one mask, and {n}"
            f" images came with masks of shape {list(masks_NHW.shape)}."
        )
    if masks_NHW.shape[1:] != (height, width):
        raise ValueError(
            f"Bring images and masks to one size: the images are {width} × {height} pixels, the"
            f" masks {masks_NHW.shape[2]} × {masks_NHW.shape[1]}."
        )
    if not torch.isfinite(masks_NHW).all():
        raise ValueError("A mask contains NaN or infinite values.")


def check_region(images_NHWC: torch.Tensor, region_HW: torch.Tensor) -> torch.Tensor:
    """The region as bool on the images' device.

    ValueError if it has another size, or NaN values.
    """
    if region_HW.shape != images_NHWC.shape[1:3]:
        raise ValueError(
            f"The region is {list(region_HW.shape)}, the images are {list(images_NHWC.shape[1:3])} "
            "(height, width)."
        )
    if not torch.isfinite(region_HW).all():
        raise ValueError("The region contains NaN or infinite values.")
    return (
        region_HW.to(images_NHWC.device) >= INSIDE
        if region_HW.is_floating_point()
        else region_HW.bool()
    )


def heat_map(images_NHWC: torch.Tensor, joint_region_HW: torch.Tensor) -> torch.Tensor:
    """Where the visible backgrounds differ, [1, H, W, 3]: dark where they are alike, through red to
    pale yellow.

    The color is the root mean square difference of all pairs, on a square-root scale that ends at
    0.3. In the joint region, which does not count, the images' mean shows in dim gray.
    """
    check_set(images_NHWC)
    images_NHWC = images_NHWC.float()
    # Σ_{j<k} (I_j - I_k)² = n Σ (I_j - mean)², so the mean over pairs is the unbiased variance,
    # twice.
    rms_HW = (2 * images_NHWC.var(0).mean(-1)).sqrt()
    gray_HW1 = (images_NHWC.mean(0) @ torch.tensor(LUMA, device=images_NHWC.device))[..., None]
    heat_HW1 = (rms_HW / BRIGHTEST).clamp(0, 1).sqrt()[..., None]
    seen_HWC = color_by_ramp(heat_HW1[..., 0]) + GHOST * gray_HW1 * (1 - heat_HW1)
    left_out_HW1 = check_region(images_NHWC, joint_region_HW)[..., None]
    return torch.where(left_out_HW1, DIMMED * gray_HW1 + 0.1, seen_HWC).clamp(0, 1)[None]


def color_by_ramp(heat_HW: torch.Tensor) -> torch.Tensor:
    """Numbers in [0, 1] as colors of the ramp, [H, W, 3]."""
    ramp_KC = (
        torch.tensor([[c >> 16, c >> 8 & 255, c & 255] for c in RAMP], device=heat_HW.device) / 255
    )
    place_HW = heat_HW * (len(RAMP) - 1)
    low_HW = place_HW.long().clamp(max=len(RAMP) - 2)
    return torch.lerp(ramp_KC[low_HW], ramp_KC[low_HW + 1], (place_HW - low_HW)[..., None])
