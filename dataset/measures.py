"""What is measured of a set, for the filters: backgrounds, regions, and what CLIP makes of it.

Shapes: n images [n, H, W, 3] in [0, 1]; masks [n, H, W] in 0 and 1.
"""

import dataclasses
import itertools
import math
import statistics
from collections.abc import Sequence

import torch

from ..metrics.background import background_similarity
from ..metrics.visible import psnr, ssim

# Each with what it means, for the page and the card.
MEASURES = {
    "f_bg": "background similarity, Eq. 15: minus the mean squared error outside the masks",
    "psnr": "of the visible backgrounds, dB; at most 100",
    "ssim": "of the visible backgrounds",
    "ssim_picture": "of the whole pictures, the mean over all pairs",
    "region_smallest": "the smallest share of a picture that is an entity's",
    "region_largest": "the largest share of a picture that is an entity's",
    "region_union": "the share of the picture that is any entity's",
    "told_apart": "the share of images whose entity could be told from the background",
    "f_ti": "text alignment, 100 · cos, the mean over the images",
    "clip_text_similarity": "cosine of image and its prompt, the smallest",
    "clip_image_similarity": "cosine of two images, the smallest over all pairs",
    "clip_direction": "cosine of the change of images and of texts, the smallest over all pairs",
    "own_prompt_best": "the share of images that suit their own prompt best of the set's",
}
MOST_DB = 100.0  # of backgrounds that are the same, whose ratio is infinite


@dataclasses.dataclass(frozen=True)
class Embedded:
    """What CLIP makes of a set: unit vectors of images and of prompts, [n, E] each."""

    images_nE: torch.Tensor
    texts_nE: torch.Tensor


def embed(clip, images_NHWC: torch.Tensor, prompts: Sequence[str]) -> Embedded:
    """By a `metrics.clip.ClipModel`."""
    return Embedded(clip.embed_images(images_NHWC), clip.embed_texts(list(prompts)))


def measure(
    images_NHWC: torch.Tensor,
    masks_NHW: torch.Tensor | None,
    lost: Sequence[int] = (),
    embedded: Embedded | None = None,
) -> dict[str, float | None]:
    """The measures of a set, by the names of MEASURES. None stands for what is no number; what
    could not be measured at all (no mask, no CLIP) is not there.
    """
    found: dict[str, float] = {}
    n, height, width = images_NHWC.shape[:3]
    nothing_HW = torch.zeros(height, width, dtype=torch.bool)
    if masks_NHW is not None:
        found |= measure_backgrounds(images_NHWC, masks_NHW)
        found["told_apart"] = 1 - len(lost) / n
    found["ssim_picture"] = ssim(images_NHWC, nothing_HW)
    if embedded is not None:
        found |= compare(embedded)
    return {key: round_number(value) for key, value in found.items()}


def measure_backgrounds(images_NHWC: torch.Tensor, masks_NHW: torch.Tensor) -> dict[str, float]:
    similarity = background_similarity(images_NHWC, masks_NHW)
    region_HW = similarity.joint_region_HW
    shares = masks_NHW.mean((1, 2)).tolist()
    return {
        "f_bg": similarity.f_bg,
        "psnr": min(MOST_DB, psnr(images_NHWC, region_HW)),
        "ssim": ssim(images_NHWC, region_HW),
        "region_smallest": min(shares),
        "region_largest": max(shares),
        "region_union": 1 - similarity.validity_ratio,
    }


def compare(embedded: Embedded) -> dict[str, float]:
    """What CLIP says of images, prompts, and the way from one to the other (directional
    similarity, Gal et al. 2022, StyleGAN-NADA).
    """
    images_nE, texts_nE = embedded.images_nE, embedded.texts_nE
    cosines_nn = images_nE @ texts_nE.T
    own = cosines_nn.diagonal()
    pairs = list(itertools.combinations(range(len(images_nE)), 2))
    alike = [float(images_nE[i] @ images_nE[j]) for i, j in pairs]
    ways = [
        float(
            torch.nn.functional.cosine_similarity(
                images_nE[j] - images_nE[i], texts_nE[j] - texts_nE[i], dim=0
            )
        )
        for i, j in pairs
    ]
    best = cosines_nn.argmax(1) == torch.arange(len(cosines_nn))
    return {
        "f_ti": statistics.fmean((100 * own.clamp(min=0)).tolist()),
        "clip_text_similarity": float(own.min()),
        "clip_image_similarity": min(alike),
        "clip_direction": min(ways),
        "own_prompt_best": float(best.float().mean()),
    }


def round_number(number: float) -> float | None:
    """Six digits, which every machine agrees on; None for NaN and infinity, which JSON lacks."""
    return float(f"{number:.6g}") if math.isfinite(number) else None
