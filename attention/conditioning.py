"""The coupled conditioning: one standard CONDITIONING that carries a whole set.

An entry is [context [n, L_bg + L_ent, D], dict]. Row i holds the tokens of the background and of
entity i. The dict's `model_conds` hold what the attention needs besides it; the host hands them to
the diffusion model as keywords.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch.nn import functional as F

BACKGROUND_TOKENS = "coupled_background_tokens"  # int: L_bg
# int: L_bg + L_ent, of a run. Sets of two lengths are not put into one call: for some families the
# host would repeat the texts until both are as long.
TEXT_TOKENS = "coupled_text_tokens"
# [n, P]; absent where the text encoder gives no pooled vector
ENTITY_POOLED = "coupled_entity_pooled"
# [n, L_ent], added to the logits: hides what fills up shorter entities; absent where none is
ENTITY_PADDING = "coupled_entity_padding"
# [n, tokens, some of D]: numbers of the context as it was coupled; in the entry's dict
TEXT_SAMPLE = "coupled_text_sample"
SAMPLED = 16  # channels
ROUNDING = 5e-3  # of a sample: more than bfloat16 changes, less than 1 percent of another text
# Of a family that reads words in quotes by themselves (HunyuanImage): the entities' [n, tokens, D],
# and what hides the padding of the shorter ones, [n, tokens]
QUOTED, QUOTED_PADDING = "coupled_quoted", "coupled_quoted_padding"
# The plate, background alone, has none
OF_ENTITIES = (ENTITY_POOLED, ENTITY_PADDING, TEXT_SAMPLE, QUOTED, QUOTED_PADDING)
# Of a family that reads numbered tokens beside the encoded text (Anima): [n, background's + longest
# entity's], -1 where a shorter one has none; their weights; and how many are the background's
TEXT_IDS, TEXT_WEIGHTS = "coupled_text_ids", "coupled_text_weights"
BACKGROUND_IDS = "coupled_background_ids"
# For us and for a ControlNet, not for the model:
KEYWORDS = (
    BACKGROUND_TOKENS,
    TEXT_TOKENS,
    ENTITY_POOLED,
    ENTITY_PADDING,
    TEXT_IDS,
    TEXT_WEIGHTS,
    BACKGROUND_IDS,
    QUOTED,
    QUOTED_PADDING,
    "crossattn_controlnet",
)

Conditioning = list


def couple_conditioning(
    background: Conditioning, entities: Sequence[Conditioning], guidance: float | None = None
) -> Conditioning:
    """One background text and n entity texts, encoded separately, as one coupled conditioning.

    Parameters:
        background: a CONDITIONING of one text, context [1, L_bg, D].
        entities: n of them, [1, L, D] each; their numbers of tokens may differ.
        guidance: distilled guidance of the set; None keeps the background's.

    Returns a CONDITIONING, context [n, L_bg + max L, D]; shorter entities are filled up, and what
    fills them is hidden from the attention.

    ValueError if there is no entity, or the texts do not fit together.
    """
    if not entities:
        raise ValueError("A coupled set needs at least one entity.")
    if any(len(entity) != len(background) for entity in entities):
        raise ValueError(
            "The texts of a coupled set were encoded with different schedules of clip hooks. Encode"
            " them with one CLIP, and do not combine conditionings for the background."
        )
    return [
        couple_entry(entry, [e[i] for e in entities], guidance)
        for i, entry in enumerate(background)
    ]


def couple_entry(background: list, entities: Sequence[list], guidance: float | None) -> list:
    """One entry of the conditioning; see couple_conditioning."""
    from comfy.conds import CONDConstant, CONDRegular

    text_bg, texts = background[0], [e[0] for e in entities]
    check_shapes(text_bg, texts)
    n = len(entities)
    context = torch.cat((text_bg.expand(n, -1, -1), fill_up(texts)), 1)
    model_conds = {BACKGROUND_TOKENS: CONDConstant(text_bg.shape[1])}
    lengths = [t.shape[1] for t in texts]
    if len(set(lengths)) > 1:
        model_conds[ENTITY_PADDING] = CONDRegular(hide_padding(lengths))
    # A ControlNet knows one text: it gets the one that all images share, so it treats all of them
    # alike.
    values: dict[str, Any] = {
        **background[1],
        "cross_attn_controlnet": text_bg,
        TEXT_SAMPLE: sample_text(context),
    }
    pooled = [entry[1].get("pooled_output") for entry in (background, *entities)]
    if all(p is not None for p in pooled):
        values["pooled_output"] = pooled[0].expand(n, -1)
        model_conds[ENTITY_POOLED] = CONDRegular(torch.cat(pooled[1:]))
    if guidance is not None:
        values["guidance"] = guidance
    if "t5xxl_ids" in values:
        model_conds.update(join_ids([background[1], *(entry[1] for entry in entities)]))
        del values["t5xxl_ids"]  # the host would read all texts as one
        values.pop("t5xxl_weights", None)
    quoted = [entry[1].get("conditioning_byt5small") for entry in entities]
    if any(words is not None for words in quoted):
        model_conds.update(join_quoted(quoted))
    masks = [entry[1].get("attention_mask") for entry in (background, *entities)]
    if "attention_mask_img_shape" not in values and any(mask is not None for mask in masks):
        values["attention_mask"] = join_masks([text_bg, *texts], masks)
    if "attention_mask_img_shape" in values:
        values["attention_mask"] = widen_mask(
            values["attention_mask"], text_bg.shape[1], max(lengths)
        )
    return [context, {**values, "model_conds": {**values.get("model_conds", {}), **model_conds}}]


def check_shapes(background: torch.Tensor, entities: Sequence[torch.Tensor]) -> None:
    """ValueError unless each text is [1, tokens, D] with one D."""
    if any(t.ndim != 3 or t.shape[0] != 1 for t in (background, *entities)):
        raise ValueError(
            "Each text of a coupled set must be one encoded text, of shape [1, tokens, width]."
        )
    if len({t.shape[2] for t in (background, *entities)}) > 1:
        raise ValueError(
            "The texts of a coupled set come from different text encoders. Encode them with one"
            " CLIP."
        )


def fill_up(texts: Sequence[torch.Tensor], in_front: bool = False) -> torch.Tensor:
    """Texts [1, tokens, D] as the rows of one tensor, the shorter ones with zeros at the end, or in
    front.

    Not with the tokenizer's padding: the model attends to that, so one long entity would change the
    pictures of the others.
    """
    longest = max(t.shape[1] for t in texts)
    gaps = [longest - t.shape[1] for t in texts]
    sides = [(gap, 0) if in_front else (0, gap) for gap in gaps]
    return torch.cat([F.pad(t, (0, 0, *side)) for t, side in zip(texts, sides, strict=True)])


def hide_padding(lengths: Sequence[int], in_front: bool = False) -> torch.Tensor:
    """What to add to the logits of keys so that each row has only its first tokens, or its last:
    0 or -inf, [n, the largest length].
    """
    hidden_NL = torch.arange(max(lengths)) >= torch.tensor(lengths)[:, None]
    hidden_NL = hidden_NL.flip(1) if in_front else hidden_NL
    return torch.zeros(hidden_NL.shape).masked_fill(hidden_NL, float("-inf"))


def join_ids(texts: Sequence[Mapping]) -> dict[str, Any]:
    """The numbered tokens and weights of a background and its entities, as `model_conds`."""
    from comfy.conds import CONDConstant, CONDRegular

    if any(text.get("t5xxl_ids") is None for text in texts):
        raise ValueError(
            "The texts of a coupled set come from different text encoders. Encode them with one"
            " CLIP."
        )
    ids = [text["t5xxl_ids"] for text in texts]
    weights = [text.get("t5xxl_weights") for text in texts]
    weights = [
        torch.ones(len(own)) if w is None else w for own, w in zip(ids, weights, strict=True)
    ]
    longest = max(len(own) for own in ids[1:])
    rows, row_weights = (
        torch.stack(
            [torch.cat((t[0], F.pad(one, (0, longest - len(one)), value=fill))) for one in t[1:]]
        )
        for t, fill in ((ids, -1), (weights, 0.0))
    )
    return {
        TEXT_IDS: CONDRegular(rows),
        TEXT_WEIGHTS: CONDRegular(row_weights),
        BACKGROUND_IDS: CONDConstant(len(ids[0])),
    }


def join_quoted(quoted: Sequence[torch.Tensor | None]) -> dict[str, Any]:
    """The words in quotes of the entities, [1, tokens, D] each where it has some, as
    `model_conds`.
    """
    from comfy.conds import CONDRegular

    some = next(words for words in quoted if words is not None)
    filled = [some[:, :0] if words is None else words for words in quoted]
    lengths = [words.shape[1] for words in filled]
    padding = hide_padding(lengths)
    return {QUOTED: CONDRegular(fill_up(filled)), QUOTED_PADDING: CONDRegular(padding)}


def join_masks(texts: Sequence[torch.Tensor], masks: Sequence[torch.Tensor | None]) -> torch.Tensor:
    """The text encoder's masks of a background and its entities, 1 on tokens that count, as one of
    [n, L_bg + L_ent]; a text without one counts in full.
    """
    filled = [
        torch.ones(1, text.shape[1]).long() if mask is None else mask.long().reshape(1, -1)
        for text, mask in zip(texts, masks, strict=True)
    ]
    longest = max(mask.shape[1] for mask in filled[1:])
    entities = [F.pad(mask, (0, longest - mask.shape[1])) for mask in filled[1:]]
    return torch.cat([torch.cat((filled[0], entity), 1) for entity in entities])


def widen_mask(mask_BLL: torch.Tensor, n_bg: int, n_ent: int) -> torch.Tensor:
    """An attention mask over [bg | img] as one over [bg | ent | img]: all attend to the entity
    freely, and it attends as the first background token does.
    """
    free = mask_BLL.new_full((*mask_BLL.shape[:2], n_ent), mask_BLL.dtype == torch.bool)
    mask = torch.cat((mask_BLL[..., :n_bg], free, mask_BLL[..., n_bg:]), 2)
    return torch.cat((mask[:, :n_bg], mask[:, :1].expand(-1, n_ent, -1), mask[:, n_bg:]), 1)


def sample_text(context: torch.Tensor) -> torch.Tensor:
    """Some numbers of each token: enough to tell later whether the texts are still the same."""
    step = max(1, context.shape[2] // SAMPLED)
    return context[:, :, ::step].to("cpu", torch.float32, copy=True)


def check_texts(cond: dict) -> None:
    """ValueError if a prepared coupled condition has other texts than those that were coupled.

    Another number format or device is no change. All zeros are Conditioning Zero Out.
    """
    context, sample = cond["cross_attn"], cond.get(TEXT_SAMPLE)
    if sample is None or not context.any():
        return
    now = sample_text(context)
    if now.shape == sample.shape and (now - sample).norm() <= ROUNDING * sample.norm():
        return
    raise ValueError(
        "Remove the node between Encode Coupled Prompts and the sampler that mixes, scales or"
        " lengthens the conditioning (for example Conditioning (Average), Conditioning (Concat) or"
        " Apply Style Model): it does not know the background and the entities in it. Use it on the"
        " conditioning of a CLIP Text Encode, and connect that to background_conditioning of Encode"
        " Coupled Prompts."
    )


def zero_pooled(cond: dict) -> dict:
    """A prepared coupled condition; after Conditioning Zero Out, which does not know the entities'
    pooled vectors, with those at zero too.
    """
    from comfy.conds import CONDRegular

    pooled = cond["model_conds"].get(ENTITY_POOLED)
    if pooled is None or cond["cross_attn"].any():
        return cond
    zeros = {ENTITY_POOLED: CONDRegular(torch.zeros_like(pooled.cond))}
    return {**cond, "model_conds": {**cond["model_conds"], **zeros}}


def has_background(conds: Mapping) -> bool:
    """Whether a condition is coupled. conds: its `model_conds`, raw or prepared, or the keywords of
    a model call that they became.
    """
    return BACKGROUND_TOKENS in conds


def is_coupled_cond(values: Mapping) -> bool:
    """The same of an entry's dict, raw or prepared by the host."""
    return has_background(values.get("model_conds", {}))


def coupled_size(conditioning: Conditioning) -> int | None:
    """n, the number of images of a coupled conditioning; None when it is an ordinary one.

    ValueError if it was combined from coupled sets of different sizes.
    """
    sizes = {entry[0].shape[0] for entry in conditioning if is_coupled_cond(entry[1])}
    if len(sizes) > 1:
        raise ValueError(
            f"This conditioning combines coupled sets of different sizes: {sorted(sizes)}."
        )
    return sizes.pop() if sizes else None
