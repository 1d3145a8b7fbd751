"""Chroma: the blocks of Flux.1 without a pooled vector, true CFG."""

import torch

from ..architectures import Architecture
from .flux import FLUX1, count_flux_blocks


def is_chroma(model: torch.nn.Module) -> bool:
    """Chroma in latent space; Radiance has another class, which is built on this one."""
    from comfy.ldm.chroma.model import Chroma

    return type(model) is Chroma


CHROMA = Architecture(
    "Chroma",
    is_chroma,
    arguments=("x", "timestep", "context", "guidance", "control", "options"),
    blocks=FLUX1.blocks,
    joint_calls=count_flux_blocks,
    guidance=0.0,  # the host's own, which its nodes do not change
)
