"""The model families that can be coupled: all that differs between them. A new one is one entry in
ARCHITECTURES, with its tests.
"""

import dataclasses
import enum
from collections.abc import Callable, Mapping
from typing import Any

import torch


class Block(enum.Enum):
    """How a block lets text and image attend, which decides how two texts merge in it."""

    JOINT = "one softmax over text and image, the MLP after it: the mode's equation"
    BRANCHES = "the MLP parallel to the attention: Eq. 6-11"


@dataclasses.dataclass(frozen=True)
class Architecture:
    """One model family, in the host's own class.

    matches: whether a diffusion model is one. arguments: names for the positional arguments that a
    DIFFUSION_MODEL wrapper sees, in their order; `per_row` are those with one row per image.
    `pooled` is among them where the family has a pooled text vector, which is mixed by theta.
    blocks: what the host calls a kind of block -> how it merges. joint_calls: how many attentions
    over text and image one model call makes. patch: latent pixels along a side of an image token.
    text_key: the tokens that the model reads as its text, among those of the text encoder.
    positions: (model, x, options) -> the positions of a picture's image tokens, [1, S, axes], in
    the form in which the host's `post_input` patch takes them; None where it takes none, so that
    pictures are always computed whole.

    The text comes first, [bg | ent | img], at positions that turn no query or key. A family of
    another order, with positions to set back or refiners to keep apart, gets a field for it here.
    """

    name: str
    matches: Callable[[torch.nn.Module], bool]
    arguments: tuple[str, ...]
    blocks: Mapping[str, Block]
    joint_calls: Callable[[torch.nn.Module], int]
    per_row: tuple[str, ...] = ("x", "timestep", "context", "pooled", "guidance")
    patch: int = 2
    text_key: str = "t5xxl"
    positions: Callable[[Any, torch.Tensor, dict], torch.Tensor] | None = None

    def name_arguments(self, args: tuple) -> dict[str, Any]:
        """The positional arguments of a call by name; `tuple(named.values())` gives them back.

        Arguments that a newer host appends keep their place.
        """
        names = [*self.arguments, *(f"argument {i}" for i in range(len(self.arguments), len(args)))]
        return dict(zip(names, args, strict=False))


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
ARCHITECTURES = (FLUX1,)


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
        if architecture.matches(model):
            return architecture
    known = ", ".join(one.name for one in ARCHITECTURES)
    raise ValueError(
        f"Coupled Attention does not know this kind of model ({name}). It works with: {known}."
    )


def uncompiled(model: torch.nn.Module) -> torch.nn.Module:
    """The module that torch.compile wrapped, or the module itself."""
    return getattr(model, "_orig_mod", model)
