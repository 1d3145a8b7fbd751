"""Stable Diffusion 3 and 3.5: joint blocks, some with a second attention of the image alone.

The host's class has no place for DIFFUSION_MODEL wrappers, so the coupled clone gets one.
"""

from functools import partial
from typing import Any

import torch

from ..architectures import Architecture, Block
from ..wrapped import run_wrapped


def is_sd3(model: torch.nn.Module) -> bool:
    """Without registers and processors of the text, which no released checkpoint has."""
    from comfy.ldm.modules.diffusionmodules.mmdit import OpenAISignatureMMDITWrapper

    if type(model) is not OpenAISignatureMMDITWrapper:
        return False
    return model.context_processor is None and model.register_length == 0


def count_blocks(model: Any) -> int:
    return len(model.joint_blocks)


def patch_forward(model: Any) -> dict[str, Any]:
    return {"forward": partial(run_wrapped, model)}


SD3 = Architecture(
    "Stable Diffusion 3.5",
    is_sd3,
    arguments=("x", "timestep", "context", "pooled", "control", "options"),
    blocks={None: Block.JOINT},
    joint_calls=count_blocks,
    per_row=("x", "timestep", "context", "pooled"),
    patches=patch_forward,
)
