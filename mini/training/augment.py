"""Mini scenes as training pictures for the models that measure: they meet pictures that a small
model painted.
"""

import numpy as np
import torch
from torch.nn import functional as F

from .dataset import SceneArrays


def scenes_at(scenes: SceneArrays, index) -> tuple[torch.Tensor, torch.Tensor]:
    """Pictures [B, 3, H, W] and mask coverage [B, 1, H, W], both in [0, 1]."""
    device = torch.get_default_device()
    images_BHWC = torch.from_numpy(np.array(scenes.images_NHWC[index])).to(device)
    masks_BHW = torch.from_numpy(np.array(scenes.masks_NHW[index])).to(device)
    return images_BHWC.permute(0, 3, 1, 2).float() / 255, masks_BHW[:, None].float() / 255


def crops_at(
    scenes: SceneArrays, index, side: int, rng: np.random.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Square parts of scenes and of their masks, as of scenes_at; two in three around a pixel of
    the subject.
    """
    images_BCHW, masks_B1HW = scenes_at(scenes, index)
    parts = [crop(i, m, side, rng) for i, m in zip(images_BCHW, masks_B1HW, strict=True)]
    images, masks = zip(*parts, strict=True)
    return torch.stack(images), torch.stack(masks)


def crop(image_CHW: torch.Tensor, mask_1HW: torch.Tensor, side: int, rng: np.random.Generator):
    last = image_CHW.shape[-1] - side
    y, x = rng.integers(0, last + 1, 2)
    inside = (mask_1HW[0] > 0.5).nonzero()
    if len(inside) and rng.random() < 2 / 3:
        middle = inside[rng.integers(len(inside))] - side // 2
        y, x = middle.clamp(0, last).tolist()
    return image_CHW[:, y : y + side, x : x + side], mask_1HW[:, y : y + side, x : x + side]


def pictures(scenes: SceneArrays, index) -> torch.Tensor:
    """Pictures [B, 3, H, W] in [-1, 1], as the VAE takes them."""
    images_BHWC = torch.from_numpy(np.array(scenes.images_NHWC[index]))
    return images_BHWC.to(torch.get_default_device()).permute(0, 3, 1, 2).float() / 127.5 - 1


def roughen(images_BCHW: torch.Tensor) -> torch.Tensor:
    """Pictures as a small diffusion model might have painted them: soft or noisy, in other light
    and colors.
    """
    count = len(images_BCHW)
    soft_BCHW = F.avg_pool2d(images_BCHW, 3, 1, 1, count_include_pad=False)
    softer_BCHW = F.avg_pool2d(images_BCHW, 4)
    softer_BCHW = F.interpolate(softer_BCHW, scale_factor=4.0, mode="bilinear")
    kinds_B111 = torch.randint(0, 5, (count, 1, 1, 1))
    images_BCHW = torch.where(kinds_B111 == 2, softer_BCHW, images_BCHW)
    images_BCHW = torch.where(kinds_B111 == 1, soft_BCHW, images_BCHW)
    gain_B111 = torch.empty(count, 1, 1, 1).uniform_(0.75, 1.25)
    tint_BC11 = torch.empty(count, 3, 1, 1).uniform_(0.92, 1.08)
    lift_B111 = torch.empty(count, 1, 1, 1).uniform_(-0.08, 0.08)
    noise_BCHW = torch.randn_like(images_BCHW)
    noise_BCHW = noise_BCHW * torch.empty(count, 1, 1, 1).uniform_(0, 0.06)
    lit_BCHW = (images_BCHW - 0.5) * (gain_B111 * tint_BC11) + 0.5 + lift_B111
    return (lit_BCHW + noise_BCHW).clamp(0, 1)
