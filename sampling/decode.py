"""A sampled set as pictures: outside its subject each is the plate, pixel by pixel.

A VAE looks beyond the place that it decodes, so equal latents are not equal pixels near a subject.
Legend: n images, H × W pixels.
"""

import torch
from torch.nn import functional as F

from ..attention.report import Report

FEATHER = 8  # pixels


class NoPlate(dict):
    """The plate of a set that has none, as a LATENT: who asks for its samples is told."""

    def __missing__(self, key):
        raise ValueError(
            "There is no plate: only mode local of Coupled Attention makes one. Set mode to local,"
            " or disconnect the plate of Coupled Sampler from this node."
        )


def decode_set(
    latent: dict,
    vae,
    plate: dict | None = None,
    masks_nHW: torch.Tensor | None = None,
    feather: int = FEATHER,
    photo_1HWC: torch.Tensor | None = None,
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """The images of a set and its plate.

    Parameters:
        latent: a LATENT of n images.
        vae: the host's VAE.
        plate: a LATENT of one picture, the background alone.
        masks_nHW: where the subjects are, 1 or n masks of any size in [0, 1]. With a plate, or a
            photo, everything outside of them is taken from it.
        feather: over how many pixels, inside the masks, an image passes into the plate.
        photo_1HWC: the picture of which the plate was encoded, so that its own pixels are taken.

    Returns images [n, H, W, C] and the plate [1, H, W, C], None if there is none.

    ValueError if the parts do not fit together.
    """
    images_nHWC = decode_each(vae, latent["samples"])
    plate_1HWC = photo_1HWC
    if plate_1HWC is None and plate is not None and not isinstance(plate, NoPlate):
        plate_1HWC = decode_each(vae, plate["samples"])
    if plate_1HWC is None or masks_nHW is None:
        return images_nHWC, plate_1HWC
    plate_1HWC = plate_1HWC.to(images_nHWC)
    check_parts(images_nHWC, plate_1HWC, masks_nHW)
    alpha_nHW = fade_inside(fit_masks(masks_nHW, images_nHWC), feather)
    return lay_over(plate_1HWC, images_nHWC, alpha_nHW), plate_1HWC


def decode_run(
    latent: dict, vae, report: Report
) -> tuple[torch.Tensor, torch.Tensor | None, torch.Tensor | None]:
    """Images and plate of a run, as of decode_set, and the masks [n, H, W] of its report; without
    a plate the two are None.
    """
    plate_1CHW = report.plate()
    plate = None if plate_1CHW is None else {"samples": plate_1CHW}
    masks_nHW = report.masks(vae.spacial_compression_decode())
    return *decode_set(latent, vae, plate, masks_nHW), masks_nHW


def decode_each(vae, samples: torch.Tensor) -> torch.Tensor:
    """Images [n, H, W, C], decoded one by one: n at 1024 × 1024 may not fit, and no image shall
    depend on its neighbors. Frames of videos one after the other, as the host's VAE Decode gives.
    """
    return torch.cat([vae.decode(one).flatten(0, -4) for one in samples.split(1)])


def check_parts(images_nHWC, plate_1HWC, masks_nHW) -> None:
    n = len(images_nHWC)
    if plate_1HWC.shape != images_nHWC[:1].shape:
        raise ValueError(
            "Connect the plate of the same Coupled Sampler, or scale the photo before it is"
            f" encoded: the images are {size_of(images_nHWC)}, and this is {len(plate_1HWC)} of"
            f" {size_of(plate_1HWC)}."
        )
    if masks_nHW.ndim != 3 or len(masks_nHW) not in (1, n):
        raise ValueError(
            "Connect one mask, which serves all, or one for each image: entity_masks of Decode"
            f" Coupled Set has the shape {list(masks_nHW.shape)}, and the set is one of {n}."
        )


def size_of(images_NHWC: torch.Tensor) -> str:
    """Width × height."""
    return f"{images_NHWC.shape[2]} × {images_NHWC.shape[1]}"


def fit_masks(masks_nHW: torch.Tensor, images_nHWC: torch.Tensor) -> torch.Tensor:
    """The masks at the images' size, [n, H, W]."""
    n, height, width, _ = images_nHWC.shape
    masks_nHW = masks_nHW.to(images_nHWC)
    if masks_nHW.shape[1:] != (height, width):
        masks_nHW = F.interpolate(masks_nHW[:, None], (height, width), mode="nearest")[:, 0]
    return masks_nHW.expand(n, -1, -1)


def fade_inside(masks_nHW: torch.Tensor, feather: int) -> torch.Tensor:
    """The masks, rising from 0 at their edges to 1 at `feather` pixels inside.

    A mean over a square is 1/2 at a straight edge. Beyond the picture a mask goes on as it is at
    the frame.
    """
    if feather == 0:
        return masks_nHW
    around = (feather,) * 4
    padded = F.pad(masks_nHW[:, None], around, mode="replicate")
    means_nHW = mean_over(mean_over(padded, (2 * feather + 1, 1)), (1, 2 * feather + 1))[:, 0]
    return (2 * means_nHW - 1).clamp(0, 1) * masks_nHW


def mean_over(t_n1HW: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    return F.avg_pool2d(t_n1HW, size, stride=1)


def lay_over(plate_1HWC, images_nHWC, alpha_nHW) -> torch.Tensor:
    """The images where alpha is 1, the plate, to the bit, where it is 0."""
    alpha_nHW1 = alpha_nHW[..., None]
    mixed_nHWC = torch.lerp(plate_1HWC, images_nHWC, alpha_nHW1)
    return torch.where(alpha_nHW1 > 0, mixed_nHWC, plate_1HWC)
