"""Qwen-Image, its editors and its kin (FireRed): joint blocks, true CFG."""

from typing import Any

import torch

from ..architectures import Architecture, Block


def is_qwen_image(model: torch.nn.Module) -> bool:
    from comfy.ldm.qwen_image.model import QwenImageTransformer2DModel

    return type(model) is QwenImageTransformer2DModel


def count_blocks(model: Any) -> int:
    return len(model.transformer_blocks)


QWEN_IMAGE = Architecture(
    "Qwen-Image",
    is_qwen_image,
    arguments=(
        "x", "timestep", "context", "attention_mask", "ref_latents", "additional", "options",
    ),
    blocks={"double": Block.JOINT},
    joint_calls=count_blocks,
    per_row=("x", "timestep", "context", "attention_mask"),
    text_key="qwen25_7b",
    sets_back_ids=True,
)  # fmt: skip
