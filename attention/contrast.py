"""How much more each image token attends to the entity text than to the background text."""

from collections.abc import Sequence

import torch
from torch.nn import functional as F

MAX_CONTRAST = 10.0  # a mask may hide a whole text


class ContrastProbe:
    """Carries the contrast of one model call from its blocks to where the entity is looked for.

    Three stations: call.py gives a probe to the override of the call; that (override.py) has each
    joint block record into it; plate_run.py hands `contrast_BS()` to region.py. It lives as long as
    the call. grids: rows and columns of tokens of the blocks' attentions, where they are several.
    """

    def __init__(self, grids: Sequence[tuple[int, int]] = ()):
        self.contrasts: list[torch.Tensor] = []
        self.grids = {h * w: (h, w) for h, w in grids}

    def record(self, lse_bg_BHS: torch.Tensor, lse_ent_BHS: torch.Tensor) -> None:
        """One block's contrast: lse_ent - lse_bg, the log of the ratio of the two masses of
        attention, mean over the heads. A grid that another pack made is not heard.
        """
        if self.grids and lse_bg_BHS.shape[2] not in self.grids:
            return
        contrast_BHS = (lse_ent_BHS - lse_bg_BHS).nan_to_num(0.0, MAX_CONTRAST, -MAX_CONTRAST)
        self.contrasts.append(contrast_BHS.mean(1))

    def contrast_BS(self) -> torch.Tensor | None:
        """Mean over the blocks, on the finest of their grids; None where none recorded, because one
        text was dropped.
        """
        if not self.contrasts:
            return None
        finest = max(contrast_BS.shape[1] for contrast_BS in self.contrasts)
        return torch.stack(
            [self.spread(contrast_BS, finest) for contrast_BS in self.contrasts]
        ).mean(0)

    def spread(self, contrast_BS: torch.Tensor, tokens: int) -> torch.Tensor:
        """The same on the grid of so many tokens."""
        found = contrast_BS.shape[1]
        if found == tokens:
            return contrast_BS
        contrast_B1hw = contrast_BS.unflatten(1, (1, *self.grids[found]))
        return F.interpolate(contrast_B1hw, self.grids[tokens], mode="bilinear").flatten(1)
