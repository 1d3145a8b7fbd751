"""Coupled attention: two text streams, background and entity, in one model call."""

from .call import coupled_mode, has_plate
from .conditioning import couple_conditioning, coupled_size
from .encoding import encode_set
from .selection import select_images

__all__ = [
    "couple_conditioning",
    "coupled_mode",
    "coupled_size",
    "encode_set",
    "has_plate",
    "select_images",
]
