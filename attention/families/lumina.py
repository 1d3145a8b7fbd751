"""Z-Image and Lumina 2 (NetaYume): the host's class NextDiT.

The image stands right after the text, so each text's length decides where it is; both texts are
made to end there. Refiners read the text first. Z-Image fills up each text, and the image, to 32
tokens with tokens that it learned.
"""

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch.nn import functional as F

from ..architectures import Architecture, Block, Place, Turn


def is_next_dit(model: torch.nn.Module) -> bool:
    """NextDiT without a pooled vector (NewBie has one) and in latent space."""
    from comfy.ldm.lumina.model import NextDiT

    return type(model) is NextDiT and model.clip_text_pooled_proj is None


def is_z_image(model: Any) -> bool:
    return is_next_dit(model) and model.pad_tokens_multiple is not None


def is_lumina2(model: Any) -> bool:
    return is_next_dit(model) and model.pad_tokens_multiple is None


def count_layers(model: Any) -> int:
    return len(model.layers)


def count_refiners(model: Any) -> int:
    return len(model.context_refiner)


def turn_to_image(model: Any, place: Place) -> list[Turn]:
    """The background moves on by the entity's length, to end at the image.

    What fills up the image's tokens stands at 0, before the text. There it would be too far away by
    the other text's length: it moves on from where it is for the background alone to where it is
    for the entity alone, by theta.
    """
    s = place.streams
    n_ent = s.text - s.background
    turns = [Turn(s.bg, rotate(model, place.theta_B.new_full((1,), n_ent)))]
    if model.pad_tokens_multiple is not None and place.image % model.pad_tokens_multiple:
        beside_entity_B = s.text - place.lengths_B
        moved_B = torch.lerp(torch.full_like(place.theta_B, n_ent), beside_entity_B, place.theta_B)
        turns.append(Turn(slice(s.text + place.image, None), rotate(model, moved_B)))
    return turns


def rotate(model: Any, distance_B: torch.Tensor) -> torch.Tensor:
    """The rotation by a distance along the first axis."""
    position_B1A = torch.zeros(len(distance_B), 1, len(model.axes_dims), device=distance_B.device)
    position_B1A[:, 0, 0] = distance_B
    return model.rope_embedder(position_B1A)


def mark_padding(model: Any, text: torch.Tensor) -> torch.Tensor:
    """A text filled up as Z-Image does it, with NaN where embed_marked puts the learned token."""
    missing = -text.shape[1] % model.pad_tokens_multiple
    return F.pad(text, (0, 0, 0, missing), value=float("nan"))


def embed_marked(model: Any, cap_feats: torch.Tensor | None = None, *args, **kwargs) -> tuple:
    """NextDiT.embed_cap, with the learned token in the place of NaN; else no bit changes."""
    embed: Callable = type(model).embed_cap
    if cap_feats is None:
        return embed(model, cap_feats, *args, **kwargs)
    marked_BL1 = cap_feats[..., :1].isnan()
    (embedded, *others), *rest = embed(
        model, torch.where(marked_BL1, 0, cap_feats), *args, **kwargs
    )
    marked_BL1 = F.pad(marked_BL1, (0, 0, 0, embedded.shape[1] - marked_BL1.shape[1]))
    embedded = torch.where(marked_BL1, model.cap_pad_token.to(embedded), embedded)
    return ((embedded, *others), *rest)


def patch_embedding(model: Any) -> dict[str, Any]:
    return {"embed_cap": partial(embed_marked, model)}


def refuse_references(named: dict, kwargs: dict) -> str | None:
    """Omni's reference pictures stand between the texts."""
    if not any(len(kwargs.get(key) or ()) for key in ("ref_latents", "ref_contexts")):
        return None
    return (
        "Remove the reference images, or couple another family, such as Flux.2 or Qwen-Image-Edit:"
        " Coupled Attention works on Z-Image without them."
    )


LUMINA2 = Architecture(
    "Lumina 2",
    is_lumina2,
    arguments=("x", "timestep", "context", "tokens", "unused_mask"),
    blocks={"double": Block.JOINT},
    joint_calls=count_layers,
    per_row=("x", "timestep", "context"),
    ends_at_image=True,
    turns=turn_to_image,
    refiners=count_refiners,
    refuse=refuse_references,
)
Z_IMAGE = dataclasses.replace(
    LUMINA2,
    name="Z-Image",
    matches=is_z_image,
    pad_text=mark_padding,
    patches=patch_embedding,
)
