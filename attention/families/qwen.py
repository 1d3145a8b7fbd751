"""Qwen-Image, its editors and its kin (FireRed): joint blocks, true CFG."""

from typing import Any

import torch

from ..architectures import Architecture, Block
from ..positions import counted


def is_qwen_image(model: torch.nn.Module) -> bool:
    from comfy.ldm.qwen_image.model import QwenImageTransformer2DModel

    return type(model) is QwenImageTransformer2DModel


def count_blocks(model: Any) -> int:
    return len(model.transformer_blocks)


def positions(model: Any, x: torch.Tensor, options: dict) -> torch.Tensor:
    """As the host's own patchify gives them."""
    return model.process_img(x[:1])[1]


def text_positions(model: Any, x: torch.Tensor, tokens: int) -> torch.Tensor:
    """Counted on all axes from half of the picture's longer side."""
    half = model.patch_size // 2
    start = max((side + half) // model.patch_size // 2 for side in x.shape[-2:])
    return counted(tokens, 3, (0, 1, 2), start)


QWEN_IMAGE = Architecture(
    "Qwen-Image",
    is_qwen_image,
    arguments=(
        "x", "timestep", "context", "attention_mask", "ref_latents", "additional", "options",
    ),
    blocks={"double": Block.JOINT},
    joint_calls=count_blocks,
    per_row=("x", "timestep", "context", "attention_mask"),
    positions=positions,
    text_positions=text_positions,
)  # fmt: skip
