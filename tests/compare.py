"""How near two results are."""

import torch


def relative_error(a: torch.Tensor, b: torch.Tensor) -> float:
    """Largest error, relative to the scale of the expected output `b`."""
    return float((a.float() - b.float()).abs().max() / b.float().abs().max())
