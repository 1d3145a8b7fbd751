"""What is special to one model family: how its diffusion model is called, and where its text
stands.
"""

import dataclasses
from collections.abc import Callable

import torch


@dataclasses.dataclass(frozen=True)
class Family:
    """One model family. The numbers are positions among the arguments that a DIFFUSION_MODEL
    wrapper sees.

    All families put the text first: [bg | ent | img]. Reference images follow the image tokens and
    count as image.
    `pooled` is the position of the pooled text vector, None where the family has none.
    `joint_calls` counts the attentions over text and image together that one model call makes.
    """

    name: str
    matches: Callable[[torch.nn.Module], bool]
    joint_calls: Callable[[torch.nn.Module], int]
    x: int
    timestep: int
    context: int
    pooled: int | None
    guidance: int | None
    control: int
    ref_latents: int | None
    options: int

    @property
    def per_image(self) -> list[int]:
        """Positions of the arguments that have one row per image."""
        return [
            i
            for i in (self.x, self.timestep, self.context, self.pooled, self.guidance)
            if i is not None
        ]


def is_flux1(model: torch.nn.Module) -> bool:
    """Flux.1 in the host's class: text at position zero, and a modulation of its own in each
    block.
    """
    from comfy.ldm.flux.model import Flux

    return (
        isinstance(model, Flux)
        and not model.params.global_modulation
        and not model.params.txt_ids_dims
    )


def count_flux_blocks(model: torch.nn.Module) -> int:
    """One joint attention in each double and each single block."""
    return len(model.double_blocks) + len(model.single_blocks)


FLUX1 = Family(
    "Flux.1",
    is_flux1,
    count_flux_blocks,
    x=0,
    timestep=1,
    context=2,
    pooled=3,
    guidance=4,
    ref_latents=5,
    control=6,
    options=7,
)
FAMILIES = (FLUX1,)


def family_of(model: torch.nn.Module) -> Family:
    """The family of a diffusion model. ValueError when it cannot be coupled, with the reason."""
    model = getattr(model, "_orig_mod", model)  # torch.compile's wrapper
    name = f"{type(model).__module__}.{type(model).__qualname__}"
    if "nunchaku" in name or type(model).__name__ == "ComfyFluxWrapper":
        raise ValueError(
            f"Coupled Attention cannot work on this model: nunchaku ({name}) runs its own attention"
            " kernels, which ignore the host's attention override. Load the model with the host's"
            " Load Diffusion Model instead."
        )
    for family in FAMILIES:
        if family.matches(model):
            return family
    known = ", ".join(f.name for f in FAMILIES)
    raise ValueError(
        f"Coupled Attention does not know this kind of model ({name}). It works with: {known}."
    )
