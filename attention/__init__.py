"""Two text streams, background and entity, in one model call: the coupled attention and its
conditioning.
"""

from .conditioning import couple_conditioning, coupled_size, select_images
from .encoding import encode_set
from .focus import check_start
from .patch import couple, has_plate, is_coupled

__all__ = [
    "check_start",
    "couple",
    "couple_conditioning",
    "coupled_size",
    "encode_set",
    "has_plate",
    "is_coupled",
    "select_images",
]
