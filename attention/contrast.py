"""How much more each image token attends to the entity text than to the background text."""

import torch

MAX_CONTRAST = 10.0  # a mask may hide a whole text


class ContrastProbe:
    """Carries the contrast of one model call from its blocks to where the entity is looked for.

    Three stations: call.py gives a probe to the override of the call; that (override.py) has each
    joint block record into it; plate_run.py hands `contrast_BS()` to region.py. It lives as long as
    the call.
    """

    def __init__(self):
        self.contrasts: list[torch.Tensor] = []

    def record(self, lse_bg_BHS: torch.Tensor, lse_ent_BHS: torch.Tensor) -> None:
        """One block's contrast: lse_ent - lse_bg, the log of the ratio of the two masses of
        attention, mean over the heads.
        """
        contrast_BHS = (lse_ent_BHS - lse_bg_BHS).nan_to_num(0.0, MAX_CONTRAST, -MAX_CONTRAST)
        self.contrasts.append(contrast_BHS.mean(1))

    def contrast_BS(self) -> torch.Tensor | None:
        """Mean over the blocks; None where none recorded, because one text was dropped."""
        return torch.stack(self.contrasts).mean(0) if self.contrasts else None
