"""Flux.1 and Flux.2 (dev, Klein): the host's class Flux, double and single blocks."""

from typing import Any

import torch
from torch.nn import functional as F

from ..architectures import Architecture, Block
from ..positions import counted

FLUX2_TOKENS = 512  # what the host fills a shorter text up to, in front


def is_flux1(model: torch.nn.Module) -> bool:
    """Flux.1: text at position zero, and a modulation of its own in each block."""
    from comfy.ldm.flux.model import Flux

    if not isinstance(model, Flux):
        return False
    return not model.params.global_modulation and not model.params.txt_ids_dims


def count_flux_blocks(model: Any) -> int:
    """One joint attention in each double and each single block."""
    return len(model.double_blocks) + len(model.single_blocks)


def flux_positions(model: Any, x_BCHW: torch.Tensor, options: dict) -> torch.Tensor:
    """As the host's own patchify gives them."""
    return model.process_img(x_BCHW[:1], transformer_options=options)[1]


FLUX1 = Architecture(
    "Flux.1",
    is_flux1,
    arguments=(
        "x", "timestep", "context", "pooled", "guidance", "ref_latents", "control", "options",
    ),
    blocks={"double": Block.JOINT, "single": Block.BRANCHES},
    joint_calls=count_flux_blocks,
    positions=flux_positions,
)  # fmt: skip


def is_flux2(model: torch.nn.Module) -> bool:
    """Flux.2: one modulation for all blocks, and text at positions on an axis of its own."""
    from comfy.ldm.flux.model import Flux

    if not isinstance(model, Flux):
        return False
    return model.params.global_modulation and list(model.params.txt_ids_dims) == [3]


def fill_in_front(model: Any, text: torch.Tensor) -> torch.Tensor:
    """A text as the host's model_base.Flux2 fills it up."""
    return F.pad(text, (0, 0, max(0, FLUX2_TOKENS - text.shape[1]), 0))


def flux2_text_positions(model: Any, x: torch.Tensor, tokens: int) -> torch.Tensor:
    return counted(tokens, len(model.params.axes_dim), model.params.txt_ids_dims)


FLUX2 = Architecture(
    "Flux.2",
    is_flux2,
    arguments=FLUX1.arguments,
    blocks=FLUX1.blocks,
    joint_calls=count_flux_blocks,
    patch=1,
    positions=flux_positions,
    pad_text=fill_in_front,
    text_positions=flux2_text_positions,
)
