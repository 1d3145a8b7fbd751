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


def painted(images):
    """Pictures as a small diffusion model might have painted them: soft or noisy, in other light
    and colours.
    """
    count = len(images)
    soft = F.avg_pool2d(images, 3, 1, 1, count_include_pad=False)
    softer = F.interpolate(F.avg_pool2d(images, 4), scale_factor=4.0, mode="bilinear")
    kinds = torch.randint(0, 5, (count, 1, 1, 1))
    images = torch.where(kinds == 1, soft, torch.where(kinds == 2, softer, images))
    gain = torch.empty(count, 1, 1, 1).uniform_(0.75, 1.25) * torch.empty(count, 3, 1, 1).uniform_(
        0.92, 1.08
    )
    lift = torch.empty(count, 1, 1, 1).uniform_(-0.08, 0.08)
    noise = torch.randn_like(images) * torch.empty(count, 1, 1, 1).uniform_(0, 0.06)
    return ((images - 0.5) * gain + 0.5 + lift + noise).clamp(0, 1)
