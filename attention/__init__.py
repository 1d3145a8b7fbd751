"""Two text streams, background and entity, in one model call: the coupled attention and its
conditioning.
"""

from .call import coupled_mode
from .conditioning import couple_conditioning, coupled_size, select_images
from .encoding import encode_set
from .modes import DEFAULT as DEFAULT_MODE
from .modes import MODES

__all__ = [
    "DEFAULT_MODE",
    "MODES",
    "couple_conditioning",
    "coupled_mode",
    "coupled_size",
    "encode_set",
    "select_images",
]
