"""Sampling a coupled set: one noise for all images, in as many passes as the memory asks for, with
a preview of all.
"""

from .lockstep import sample_set
from .noise import share_noise, shared_noise

__all__ = ["sample_set", "share_noise", "shared_noise"]
