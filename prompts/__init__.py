"""Splitting prompts into a shared background and each prompt's own entity.

No torch, no host at import.
"""

from .split import SplitPrompts, parse_prompts

__all__ = ["SplitPrompts", "parse_prompts"]
