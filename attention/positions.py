"""Where each text stands for the model: as it would alone, though the other one is there too.

Rotary positions compose, and only the distance of two tokens matters.
"""

import dataclasses
from collections.abc import Sequence

import torch

from .architectures import Architecture, Turn
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


def turn_tokens(x_BHLD: torch.Tensor, turns: Sequence[Turn]) -> torch.Tensor:
    """Queries or keys, some turned further by the host's own rotation."""
    x_BHLD = x_BHLD.clone()
    for turn in turns:
        part_BHLD = x_BHLD[:, :, turn.tokens]
        if part_BHLD.shape[2]:  # rows with one text have no background
            x_BHLD[:, :, turn.tokens] = rotate(part_BHLD, turn)
    return x_BHLD


def rotate(x_BHLD: torch.Tensor, turn: Turn) -> torch.Tensor:
    from comfy.ldm.flux.math import apply_rope1

    if not turn.split_half:
        return apply_rope1(x_BHLD, turn.rotation)
    pairs_BHLD = x_BHLD.unflatten(-1, (2, -1)).transpose(-1, -2).flatten(-2)
    turned_BHLD = apply_rope1(pairs_BHLD, turn.rotation)
    return turned_BHLD.unflatten(-1, (-1, 2)).transpose(-1, -2).flatten(-2)


def turn_image(x_BHLD: torch.Tensor, turns: Sequence[Turn], s: Streams) -> torch.Tensor:
    """The same, of the image tokens alone."""
    own = [turn for turn in turns if turn.tokens.start >= s.text]
    moved = [
        dataclasses.replace(turn, tokens=slice(turn.tokens.start - s.text, None)) for turn in own
    ]
    return turn_tokens(x_BHLD, moved) if moved else x_BHLD


@torch.compiler.disable
def check_placed(architecture: Architecture, placed: PlaceTexts | None) -> None:
    """ValueError, after a model call, if the host asked for no positions."""
    if placed is None or placed.seen:
        return
    raise ValueError(
        f"Update ComfyUI: this version hands the positions of {architecture.name}'s text to no"
        " patch, and Coupled Attention must set them."
    )
