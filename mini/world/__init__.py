"""The mini world: small rendered scenes of places and subjects, with captions, drawn from a
seed.
"""

from .captions import Caption, caption
from .places import PLACES
from .scene import Scene, draw_scene, held_out
from .subjects import SUBJECTS

__all__ = ["PLACES", "SUBJECTS", "Caption", "Scene", "caption", "draw_scene", "held_out"]
