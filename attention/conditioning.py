"""The coupled conditioning: one standard CONDITIONING that carries a whole set.

An entry is [context [n, L_bg + L_ent, D], dict]. Row i holds the tokens of the background and of
entity i. The dict's `model_conds` hold what the attention needs beside it; the host hands them to
the diffusion model as keywords.
"""

from collections.abc import Sequence

import torch

BACKGROUND_TOKENS = "coupled_background_tokens"  # int: L_bg
# [n, P]; absent where the text encoder gives no pooled vector
ENTITY_POOLED = "coupled_entity_pooled"
# int: of so many rows each the last is a background plate (focus.py); absent without plates
ROWS = "coupled_rows"
# For us and for a ControlNet, not for the model:
KEYWORDS = (BACKGROUND_TOKENS, ENTITY_POOLED, ROWS, "crossattn_controlnet")

Conditioning = list


def couple_conditioning(
    background: Conditioning, entities: Sequence[Conditioning], guidance: float | None = None
) -> Conditioning:
    """One background text and n entity texts, each encoded on its own, as one coupled conditioning.

    The entities must have the same number of tokens; the background may have another. `guidance` is
    the distilled guidance of the set, None to keep the background's. ValueError when the texts do
    not fit together.
    """
    if not entities:
        raise ValueError("A coupled set needs at least one entity.")
    if any(len(entity) != len(background) for entity in entities):
        raise ValueError(
            "The texts of a coupled set were encoded with different schedules of clip hooks. Encode"
            " them with one CLIP."
        )
    return [
        couple_entry(entry, [e[i] for e in entities], guidance)
        for i, entry in enumerate(background)
    ]


def couple_entry(background: list, entities: Sequence[list], guidance: float | None) -> list:
    """One entry of the conditioning; see couple_conditioning."""
    from comfy.conds import CONDConstant, CONDRegular

    text_bg = background[0]
    check_shapes(text_bg, [e[0] for e in entities])
    n = len(entities)
    context = torch.cat((text_bg.expand(n, -1, -1), torch.cat([e[0] for e in entities])), 1)
    model_conds = {BACKGROUND_TOKENS: CONDConstant(text_bg.shape[1])}
    # A ControlNet knows one text: it gets the one that all images share, so it treats all of them
    # alike.
    values = {**background[1], "cross_attn_controlnet": text_bg}
    pooled = [entry[1].get("pooled_output") for entry in (background, *entities)]
    if all(p is not None for p in pooled):
        values["pooled_output"] = pooled[0].expand(n, -1)
        model_conds[ENTITY_POOLED] = CONDRegular(torch.cat(pooled[1:]))
    if guidance is not None:
        values["guidance"] = guidance
    return [context, {**values, "model_conds": {**values.get("model_conds", {}), **model_conds}}]


def check_shapes(background: torch.Tensor, entities: Sequence[torch.Tensor]) -> None:
    """ValueError unless each text is [1, tokens, D] with one D, and the entities have equally many
    tokens.
    """
    if any(t.ndim != 3 or t.shape[0] != 1 for t in (background, *entities)):
        raise ValueError(
            "Each text of a coupled set must be one encoded text, of shape [1, tokens, width]."
        )
    if len({t.shape[2] for t in (background, *entities)}) > 1:
        raise ValueError(
            "The texts of a coupled set come from different text encoders. Encode them with one"
            " CLIP."
        )
    lengths = [t.shape[1] for t in entities]
    if len(set(lengths)) > 1:
        raise ValueError(
            f"The entities of a coupled set have different numbers of tokens: {lengths}. Pad them"
            " to one length with the tokenizer's own padding, as Encode Coupled Prompts does."
        )


def is_coupled_entry(entry: list) -> bool:
    return BACKGROUND_TOKENS in entry[1].get("model_conds", {})


def coupled_size(conditioning: Conditioning) -> int | None:
    """n, the number of images of a coupled conditioning; None when it is an ordinary one.

    ValueError when it was combined from coupled sets of different sizes.
    """
    sizes = {entry[0].shape[0] for entry in conditioning if is_coupled_entry(entry)}
    if len(sizes) > 1:
        raise ValueError(
            f"This conditioning combines coupled sets of different sizes: {sorted(sizes)}."
        )
    return sizes.pop() if sizes else None


def select_images(conditioning: Conditioning, indices: Sequence[int]) -> Conditioning:
    """The conditioning of some images of a set, in the given order; the given one is left as it is.

    Whatever has one row per image is cut to those rows, reference latents and ControlNet hints
    included. An ordinary conditioning keeps its meaning as well: the host would give its row i mod
    m to image i. IndexError outside the set.
    """
    n = coupled_size(conditioning)
    outside = [i for i in indices if n is not None and not 0 <= i < n]
    if outside:
        raise IndexError(f"The coupled set has {n} images; there is no image {outside[0]}.")
    return [[rows(context, indices), rows(values, indices)] for context, values in conditioning]


def rows(value, indices: Sequence[int]):
    """The rows of anything in a conditioning that has one per image; one row, or no rows, stays as
    it is.
    """
    from comfy.conds import CONDConstant, CONDList, CONDRegular
    from comfy.controlnet import ControlBase

    if torch.is_tensor(value):
        per_image = value.ndim > 0 and value.shape[0] > 1
        return value[[i % value.shape[0] for i in indices]] if per_image else value
    if isinstance(value, dict):
        return {k: rows(v, indices) for k, v in value.items()}
    if isinstance(value, list):
        return [rows(v, indices) for v in value]
    if isinstance(value, CONDRegular | CONDList) and not isinstance(value, CONDConstant):
        return value._copy_with(rows(value.cond, indices))
    if isinstance(value, ControlBase):
        return control_rows(value, indices)
    return value


def control_rows(control, indices: Sequence[int]):
    """A ControlNet with the hints, and masks, of some images; the same object where one hint serves
    all of them.
    """
    previous = control.previous_controlnet and control_rows(control.previous_controlnet, indices)
    hint = control.cond_hint_original
    if previous is control.previous_controlnet and (hint is None or hint.shape[0] == 1):
        return control
    copy = control.copy()
    if hint is not None and hint.shape[0] > 1:
        copy.cond_hint_original = rows(hint, indices)
        # The host repeats or cuts what it concatenates to the hints, before the hints to the batch.
        copy.extra_concat_orig = rows(copy.extra_concat_orig, [i % hint.shape[0] for i in indices])
    return copy.set_previous_controlnet(previous)
