"""Anima: the image attends to the text alone, in an attention of its own in each block. An adapter
of the model's first reads each text with the numbered tokens beside it.
"""

from typing import Any

import torch
from torch.nn import functional as F

from ..architectures import Architecture, Block
from ..conditioning import (
    BACKGROUND_IDS,
    BACKGROUND_TOKENS,
    ENTITY_PADDING,
    TEXT_IDS,
    TEXT_WEIGHTS,
)
from ..region import grid_of

TOKENS = 512  # what the host fills a shorter text up to


def is_anima(model: torch.nn.Module) -> bool:
    from comfy.ldm.anima.model import Anima

    return isinstance(model, Anima)


def count_blocks(model: Any) -> int:
    return len(model.blocks)


def find_grid(model: Any, x_BCTHW: torch.Tensor) -> list[tuple[int, int]]:
    """One, the frames below one another."""
    frames, *sides = x_BCTHW.shape[2:]
    h, w = grid_of(*sides, model.patch_spatial)
    return [(-(-frames // model.patch_temporal) * h, w)]


def read_texts(model: Any, named: dict, kwargs: dict) -> tuple[dict, dict]:
    """A call with each text as the adapter reads it alone."""
    if TEXT_IDS not in kwargs:
        return named, kwargs
    n_bg, n_ids = kwargs[BACKGROUND_TOKENS], kwargs[BACKGROUND_IDS]
    ids_BL, weights_BL = kwargs[TEXT_IDS].long(), kwargs[TEXT_WEIGHTS]
    context, padding_BL = named["context"], kwargs.get(ENTITY_PADDING)
    B = len(context)
    background = read(model, context[:1, :n_bg], ids_BL[:1, :n_ids], weights_BL[:1, :n_ids])
    own_ids_BL = ids_BL[:, n_ids:]
    shown_BL = None if padding_BL is None else padding_BL == 0
    entities = read(model, context[:, n_bg:], own_ids_BL, weights_BL[:, n_ids:], shown_BL)
    hidden_BL = hide_beyond(own_ids_BL, entities.shape[1])
    kwargs = {k: v for k, v in kwargs.items() if k != ENTITY_PADDING}
    kwargs[BACKGROUND_TOKENS] = background.shape[1]
    if own_ids_BL.shape[1] > TOKENS:
        kwargs[ENTITY_PADDING] = hidden_BL
    context = torch.cat((background.expand(B, -1, -1), entities), 1)
    return {**named, "context": context}, kwargs


def read(
    model: Any,
    text_BLD: torch.Tensor,
    ids_BL: torch.Tensor,
    weights_BL: torch.Tensor,
    shown_BL: torch.Tensor | None = None,
) -> torch.Tensor:
    """As the host's preprocess_text_embeds, for rows of which some are shorter: 0 there."""
    counts_BL = ids_BL >= 0
    out = model.llm_adapter(
        text_BLD,
        ids_BL.clamp(min=0),
        target_attention_mask=counts_BL,
        source_attention_mask=shown_BL,
    )
    out = out * (weights_BL * counts_BL)[..., None].to(out)
    return F.pad(out, (0, 0, 0, max(0, TOKENS - out.shape[1])))


def hide_beyond(ids_BL: torch.Tensor, tokens: int) -> torch.Tensor:
    """What hides of each row what it would not have alone, [B, tokens]: it has TOKENS at least."""
    has_B1 = (ids_BL >= 0).sum(1, keepdim=True).clamp(min=TOKENS)
    hidden_BL = torch.arange(tokens, device=ids_BL.device) >= has_B1
    return torch.zeros(hidden_BL.shape, device=ids_BL.device).masked_fill(hidden_BL, float("-inf"))


ANIMA = Architecture(
    "Anima",
    is_anima,
    arguments=("x", "timestep", "context", "fps", "padding_mask"),
    blocks={None: Block.ACROSS},
    joint_calls=count_blocks,
    per_row=("x", "timestep", "context"),
    grids=find_grid,
    embed_texts=read_texts,
)
