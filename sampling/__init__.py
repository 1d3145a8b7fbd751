"""Sampling a coupled set: one noise for all images, in as many passes as the memory asks for, with
a preview of all.
"""

from .couple import couple
from .decode import decode_set
from .lockstep import sample_set
from .noise import draw_shared_noise

__all__ = ["couple", "decode_set", "draw_shared_noise", "sample_set"]
