"""Ideogram 4: one stream of blocks; the image's positions are far from any text's."""

from typing import Any

import torch

from ..architectures import Architecture, Block, Place, Turn


def is_ideogram4(model: torch.nn.Module) -> bool:
    from comfy.ldm.ideogram4.model import Ideogram4Transformer2DModel

    return isinstance(model, Ideogram4Transformer2DModel)


def count_layers(model: Any) -> int:
    return len(model.layers)


def turn_entity_back(model: Any, place: Place) -> list[Turn]:
    """The entity moves back by the background's length, to begin where a text begins."""
    from comfy.text_encoders.llama import precompute_freqs_cis

    position = torch.full((3, 1), -float(place.streams.background), device=place.theta_B.device)
    cos, sin, minus_sin = precompute_freqs_cis(
        model.head_dim,
        position,
        model.rope_theta,
        rope_dims=model.mrope_section,
        interleaved_mrope=True,
        device=position.device,
    )
    half = sin.shape[-1]
    rotation = torch.stack((cos[..., :half], minus_sin, sin, cos[..., half:]), -1)
    rotation = rotation.reshape(1, 1, 1, half, 2, 2)
    return [Turn(place.streams.ent, rotation, split_half=True)]


IDEOGRAM4 = Architecture(
    "Ideogram 4",
    is_ideogram4,
    arguments=("x", "timestep", "context", "attention_mask", "options"),
    blocks={None: Block.JOINT},  # it does not say which kind its blocks are
    joint_calls=count_layers,
    per_row=("x", "timestep", "context", "attention_mask"),
    patch=1,
    turns=turn_entity_back,
)
