"""How good a coupled set is: how alike its backgrounds are, and how well each image shows its
prompt.
"""

from .background import Similarity, background_similarity, heat_map
from .score import PRESETS, combined

__all__ = ["PRESETS", "Similarity", "background_similarity", "combined", "heat_map"]
