"""The model families that can be coupled. A new one is a file here and an entry in ARCHITECTURES,
with its tests.
"""

import torch

from ..architectures import Architecture, uncompiled
from .anima import ANIMA
from .chroma import CHROMA
from .flux import FLUX1, FLUX2
from .hunyuan_image import HUNYUAN_IMAGE
from .ideogram4 import IDEOGRAM4
from .krea2 import KREA2
from .lumina import LUMINA2, Z_IMAGE
from .qwen import QWEN_IMAGE
from .sd3 import SD3
from .unet import SD15, SDXL

ARCHITECTURES = (
    FLUX1,
    FLUX2,
    QWEN_IMAGE,
    CHROMA,
    Z_IMAGE,
    LUMINA2,
    KREA2,
    SD3,
    ANIMA,
    HUNYUAN_IMAGE,
    IDEOGRAM4,
    SDXL,
    SD15,
)


def architecture_of(model: torch.nn.Module) -> Architecture:
    """The architecture of a diffusion model. ValueError with the reason if it cannot be coupled."""
    model = uncompiled(model)
    name = f"{type(model).__module__}.{type(model).__qualname__}"
    if "nunchaku" in name or type(model).__name__ == "ComfyFluxWrapper":
        raise ValueError(
            f"Coupled Attention cannot work on this model: nunchaku ({name}) runs its own attention"
            " kernels, which ignore the host's attention override. Load the model with the host's"
            " Load Diffusion Model instead."
        )
    for architecture in ARCHITECTURES:
        if matches(architecture, model):
            return architecture
    known = ", ".join(one.name for one in ARCHITECTURES)
    raise ValueError(
        f"Coupled Attention does not know this kind of model ({name}). It works with: {known}."
    )


def matches(architecture: Architecture, model: torch.nn.Module) -> bool:
    """Whether a diffusion model is of a family; no model is of one that an older host lacks."""
    try:
        return architecture.matches(model)
    except ModuleNotFoundError:
        return False
