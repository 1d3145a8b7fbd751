"""Krea 2: one stream of blocks, and refiners that read the text first."""

from typing import Any

import torch

from ..architectures import Architecture, Block


def is_krea2(model: torch.nn.Module) -> bool:
    from comfy.ldm.krea2.model import SingleStreamDiT

    return isinstance(model, SingleStreamDiT)


def count_blocks(model: Any) -> int:
    return len(model.blocks)


def count_refiners(model: Any) -> int:
    """The blocks of txtfusion before them look at each token by itself."""
    return len(model.txtfusion.refiner_blocks)


KREA2 = Architecture(
    "Krea 2",
    is_krea2,
    arguments=("x", "timestep", "context", "unused_mask", "ref_latents", "options"),
    blocks={"single": Block.JOINT},
    joint_calls=count_blocks,
    per_row=("x", "timestep", "context"),
    text_key="qwen3vl_4b",
    refiners=count_refiners,
)
