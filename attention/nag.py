"""The host's Normalized Attention Guidance (NAG) with a coupled set.

NAG compares the attention of the positive and the negative within one model call, and does nothing
where they come in two. The host puts conditions into one call only where they carry the same keys,
so an ordinary negative never meets a coupled positive. As a set whose background and entities are
all the negative text it does, and means the same: two equal texts whose weights sum to 1 are one.
"""

import torch

from .conditioning import BACKGROUND_TOKENS, ENTITY_PADDING, ENTITY_POOLED, is_coupled_cond

PATCH_KIND = "attn1_output_patch"


def has_nag(options: dict) -> bool:
    """Whether transformer_options hold the patch of the host's node."""
    patches = options.get("patches", {}).get(PATCH_KIND, ())
    return any(getattr(patch, "__module__", "").endswith("nodes_nag") for patch in patches)


def couple_negatives(conds: dict[str, list[dict]], cfg: float) -> dict[str, list[dict]]:
    """The prepared conditions of a run with NAG, an ordinary negative as a set where that fits.

    Only at cfg 1, where the result of the negative itself is not used.
    """
    coupled = [cond for cond in conds.get("positive", ()) if is_coupled_cond(cond)]
    if cfg != 1 or not coupled:
        return conds
    negatives = [
        couple_negative(cond) if fits(cond, coupled[0]) else cond
        for cond in conds.get("negative", ())
    ]
    return {**conds, "negative": negatives}


def fits(negative: dict, positive: dict) -> bool:
    """Whether an ordinary condition has as many tokens as each text of a coupled one."""
    model_conds = positive["model_conds"]
    if is_coupled_cond(negative) or ENTITY_PADDING in model_conds:
        return False
    n_bg, tokens = model_conds[BACKGROUND_TOKENS].cond, negative["cross_attn"].shape[1]
    return tokens == n_bg == positive["cross_attn"].shape[1] - n_bg


def couple_negative(cond: dict) -> dict:
    """A prepared ordinary condition as a coupled one of which both texts are its own."""
    from comfy.conds import CONDConstant, CONDRegular

    text, pooled = cond["cross_attn"], cond.get("pooled_output")
    model_conds = {**cond["model_conds"], BACKGROUND_TOKENS: CONDConstant(text.shape[1])}
    if pooled is not None:
        model_conds[ENTITY_POOLED] = CONDRegular(pooled)
    return {
        **cond,
        "cross_attn": torch.cat((text, text), 1),
        "cross_attn_controlnet": text,
        "model_conds": model_conds,
    }


def check_nag(options: dict) -> None:
    """ValueError if NAG would do nothing, because positive or negative is not in this call."""
    if not has_nag(options) or {0, 1} <= set(options.get("cond_or_uncond") or (0, 1)):
        return
    raise ValueError(
        "Connect a negative from CLIP Text Encode, set cfg to 1 and use fewer images per pass; or"
        " remove Normalized Attention Guidance. It would do nothing: the positive and the negative"
        " are not in one model call. They are if background, entities and negative have the"
        " same number of tokens (for Flux: up to 256 each, and nothing appended by Apply Style"
        " Model), and if there is memory for both."
    )
