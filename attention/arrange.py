"""Arranges the texts of a coupled condition for a model family, before a run: each one filled up as
it would be alone.
"""

from typing import Any

import torch

from .architectures import Architecture
from .conditioning import (
    BACKGROUND_TOKENS,
    ENTITY_PADDING,
    TEXT_TOKENS,
    fill_up,
    hide_padding,
    is_coupled_cond,
)


def arrange_texts(architecture: Architecture, model: Any, cond: dict) -> dict:
    """A prepared condition, for a diffusion model of the architecture; an ordinary one as it is."""
    from comfy.conds import CONDConstant

    if not is_coupled_cond(cond):
        return cond
    if architecture.guidance is not None:
        cond = {**cond, "guidance": architecture.guidance}
    if architecture.pad_text is not None or architecture.ends_at_image:
        cond = fill_texts(architecture, model, cond)
    tokens = CONDConstant(cond["cross_attn"].shape[1])
    return {**cond, "model_conds": {**cond["model_conds"], TEXT_TOKENS: tokens}}


def fill_texts(architecture: Architecture, model: Any, cond: dict) -> dict:
    """A coupled condition with each text as the architecture fills it up."""
    from comfy.conds import CONDConstant, CONDRegular

    background, entities = split_texts(cond)
    if architecture.pad_text is not None:
        background, *entities = (
            architecture.pad_text(model, text) for text in (background, *entities)
        )
    filled = fill_up(entities, architecture.ends_at_image)
    model_conds = {**cond["model_conds"], BACKGROUND_TOKENS: CONDConstant(background.shape[1])}
    model_conds.pop(ENTITY_PADDING, None)
    lengths = [text.shape[1] for text in entities]
    if len(set(lengths)) > 1:
        padding = hide_padding(lengths, architecture.ends_at_image)
        model_conds[ENTITY_PADDING] = CONDRegular(padding)
    context = torch.cat((background.expand(len(entities), -1, -1), filled), 1)
    return {**cond, "cross_attn": context, "model_conds": model_conds}


def split_texts(cond: dict) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """The background and the entities as they were coupled, [1, tokens, D] each."""
    context, model_conds = cond["cross_attn"], cond["model_conds"]
    n_bg = model_conds[BACKGROUND_TOKENS].cond
    n, tokens = context.shape[:2]
    padding = model_conds.get(ENTITY_PADDING)
    lengths = [tokens - n_bg] * n if padding is None else (padding.cond == 0).sum(1).tolist()
    entities = [context[i : i + 1, n_bg : n_bg + length] for i, length in enumerate(lengths)]
    return context[:1, :n_bg], entities
