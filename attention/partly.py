"""A model call in which only the tokens of the regions are computed, as strips: latents of patch ×
K·patch pixels.

The model's own patchify, blocks and un-patchify do the work; the host's `post_input` patch hands
the tokens their true positions.

Legend: as strips.py; C channels, H × W latent pixels, p = patch.
"""

import dataclasses
from typing import Any

import torch

from .architectures import Architecture
from .positions import PATCHES, POST_INPUT
from .region import grid_of, like, one_frame
from .strips import Strips


@dataclasses.dataclass(eq=False)
class Positions:
    """A `post_input` patch: the image tokens stand at `ids`, [B, K, axes]. seen: whether the host
    asked for them.
    """

    ids: torch.Tensor
    seen: bool = False

    def __call__(self, args: dict[str, Any]) -> dict[str, Any]:
        self.seen = True
        return {**args, "img_ids": self.ids.to(args["img_ids"])}


def cut_call(
    architecture: Architecture, model, strips: Strips, named: dict
) -> tuple[dict, Positions]:
    """The arguments of a call by name, whole pictures as strips; and the patch among them."""
    x, options = named["x"], named["options"]
    assert architecture.positions is not None
    B = x.shape[0]
    ids_1SA = architecture.positions(model, x, options)
    positions = Positions(strips.gather(ids_1SA.expand(B, -1, -1)))
    rows = strips.rows(B)
    per_row = {
        name: named[name][rows] for name in architecture.per_row if torch.is_tensor(named.get(name))
    }
    tokens = to_tokens(one_frame(x), architecture.patch)
    x = like(to_strip(strips.gather(tokens)), x)
    patches = {**options.get(PATCHES, {}), POST_INPUT: [positions]}
    return {**named, **per_row, "x": x, "options": {**options, PATCHES: patches}}, positions


def spread_out(
    strips: Strips, out: torch.Tensor, patch: int, height: int, width: int
) -> torch.Tensor:
    """What the model made of strips as whole pictures, [B, C, H, W]."""
    tokens_BSCpp = strips.spread(one_frame(out).unflatten(3, (-1, patch)).permute(0, 3, 1, 2, 4))
    h, w = grid_of(height, width, patch)
    pixels = tokens_BSCpp.unflatten(1, (h, w)).permute(0, 3, 1, 4, 2, 5)  # B C h p w p
    return like(pixels.flatten(4, 5).flatten(2, 3)[:, :, :height, :width], out)


def to_tokens(x_BCHW: torch.Tensor, patch: int) -> torch.Tensor:
    """[B, S, C, p, p], filled up at the edges as the host does it."""
    from comfy.ldm.common_dit import pad_to_patch_size

    x_BCHW = pad_to_patch_size(x_BCHW, (patch, patch))
    pixels = x_BCHW.unflatten(3, (-1, patch)).unflatten(2, (-1, patch))  # B C h p w p
    return pixels.permute(0, 2, 4, 1, 3, 5).flatten(1, 2)


def to_strip(tokens_BKCpp: torch.Tensor) -> torch.Tensor:
    """[B, C, p, K·p]."""
    return tokens_BKCpp.permute(0, 2, 3, 1, 4).flatten(3)
