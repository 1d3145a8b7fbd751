"""Krea 2: one stream of blocks, and refiners that read the text first."""

from typing import Any

import torch

from ..architectures import Architecture, Block
from ..region import one_frame


def is_krea2(model: torch.nn.Module) -> bool:
    from comfy.ldm.krea2.model import SingleStreamDiT

    return isinstance(model, SingleStreamDiT)


def count_blocks(model: Any) -> int:
    return len(model.blocks)


def count_refiners(model: Any) -> int:
    """The blocks of txtfusion before them look at each token by itself."""
    return len(model.txtfusion.refiner_blocks)


def positions(model: Any, x: torch.Tensor, options: dict) -> torch.Tensor:
    """As the host's own patchify gives them."""
    return model.process_img(one_frame(x)[:1])[1]


KREA2 = Architecture(
    "Krea 2",
    is_krea2,
    arguments=("x", "timestep", "context", "unused_mask", "ref_latents", "options"),
    blocks={"single": Block.JOINT},
    joint_calls=count_blocks,
    per_row=("x", "timestep", "context"),
    positions=positions,
    refiners=count_refiners,
)
