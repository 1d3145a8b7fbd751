"""The paper's baselines on the stock model: same seed, Prompt-to-Prompt and RF-inversion."""

from .p2p import p2p
from .random_seed import random_seed
from .rf_inversion import rf_inversion

__all__ = ["p2p", "random_seed", "rf_inversion"]
