"""Where each text stands for the model: as it would alone, though the other one is there too.

Rotary positions compose, and only the distance of two tokens matters.
"""

import dataclasses
from collections.abc import Sequence

import torch

from .architectures import Architecture
from .equations import Streams

PATCHES, POST_INPUT = "patches", "post_input"  # the host's slot for them in transformer_options


@dataclasses.dataclass(eq=False)
class PlaceTexts:
    """A `post_input` patch of one model call: the text tokens stand at `ids`, [text, axes]. seen:
    whether the host asked for them.
    """

    ids: torch.Tensor
    seen: bool = False

    def __call__(self, args: dict) -> dict:
        self.seen = True
        ids = self.ids.to(args["txt_ids"]).expand_as(args["txt_ids"])
        return {**args, "txt_ids": ids}

    def add_to(self, options: dict) -> dict:
        """The options with this patch, before those of other packs; the given ones stay."""
        patches = options.get(PATCHES, {})
        return {
            **options,
            PATCHES: {**patches, POST_INPUT: [self, *patches.get(POST_INPUT, ())]},
        }


def place_texts(architecture: Architecture, model, x: torch.Tensor, s: Streams) -> PlaceTexts:
    """Each text where it stands alone, beside whole pictures x."""
    assert architecture.text_positions is not None
    lengths = (s.background, s.text - s.background)
    return PlaceTexts(torch.cat([architecture.text_positions(model, x, n) for n in lengths]))


def counted(tokens: int, axes: int, on: Sequence[int], start: int = 0) -> torch.Tensor:
    """Positions counted up from `start` on some axes, 0 on the others; [tokens, axes]."""
    ids = torch.zeros(tokens, axes)
    ids[:, on] = torch.arange(start, start + tokens, dtype=ids.dtype)[:, None]
    return ids


def turn_background(x_BHLD: torch.Tensor, rotation: torch.Tensor, s: Streams) -> torch.Tensor:
    """Queries or keys with the background's turned further; rotation as the host's EmbedND gives
    it for one position, broadcast over batch, heads and tokens.
    """
    from comfy.ldm.flux.math import apply_rope1

    background = apply_rope1(x_BHLD[:, :, s.bg], rotation)
    return torch.cat((background, x_BHLD[:, :, s.ent_img]), 2)


@torch.compiler.disable
def check_placed(architecture: Architecture, placed: PlaceTexts | None) -> None:
    """ValueError, after a model call, if the host asked for no positions."""
    if placed is None or placed.seen:
        return
    raise ValueError(
        f"Update ComfyUI: this version hands the positions of {architecture.name}'s text to no"
        " patch, and Coupled Attention must set them."
    )
