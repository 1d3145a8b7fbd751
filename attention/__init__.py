"""Two text streams, background and entity, in one model call: the coupled attention and its
conditioning.
"""

from .conditioning import couple_conditioning, coupled_size, select_images
from .encoding import encode_set
from .patch import couple, is_coupled

__all__ = [
    "couple",
    "couple_conditioning",
    "coupled_size",
    "encode_set",
    "is_coupled",
    "select_images",
]
