"""SDXL and SD1.5: the host's UNetModel. In each of its transformer blocks the image attends to
itself, then to the text; both on several grids, each half as fine as the one before.
"""

import dataclasses
from typing import Any

import torch

from ..architectures import Architecture, Block
from ..region import grid_of

SDXL_VECTOR = 2816  # a pooled text of 1280 numbers, and six sizes in 256 each


def is_text_unet(model: torch.nn.Module) -> bool:
    """Of pictures, not of video."""
    from comfy.ldm.modules.diffusionmodules.openaimodel import UNetModel

    return type(model) is UNetModel and not model.use_temporal_resblocks


def is_sdxl(model: Any) -> bool:
    if not is_text_unet(model) or model.num_classes != "sequential":
        return False
    return model.label_emb[0][0].in_features == SDXL_VECTOR


def is_sd15(model: Any) -> bool:
    return is_text_unet(model) and model.num_classes is None


def count_blocks(model: Any) -> int:
    from comfy.ldm.modules.attention import BasicTransformerBlock

    return sum(isinstance(module, BasicTransformerBlock) for module in model.modules())


def find_grids(model: Any, x_BCHW: torch.Tensor) -> list[tuple[int, int]]:
    """Of each level, the latent's own first."""
    levels = range(len(model.channel_mult))
    return [grid_of(*x_BCHW.shape[-2:], 2**level) for level in levels]


SDXL = Architecture(
    "SDXL",
    is_sdxl,
    arguments=("x", "timestep", "context", "pooled", "control", "options"),
    blocks={None: Block.ACROSS},
    joint_calls=count_blocks,
    per_row=("x", "timestep", "context", "pooled"),
    patch=2,  # its finest grid with attention
    grids=find_grids,
)
SD15 = dataclasses.replace(SDXL, name="SD1.5", matches=is_sd15, patch=1)
