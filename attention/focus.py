"""Where in a picture its entity text counts: the mode `local` of the coupled attention.

Legend: B images, H heads, S image tokens. The image tokens that become the entity attend to its text more than to the
background's, from the step at which theta rises; no mask is asked for, and none is kept between two model calls.
"""

import torch

from .coupling import Part, Streams

SHARPNESS, THRESHOLD = 4.0, 0.5  # chosen on training sets of the mini world: docs/quality.md
MOST = 10.0  # of a contrast


class Focus:
    """How much more each image token attends to the entity text than to the background text, in one model call.

    It is the mean over the heads and double blocks seen so far of lse_ent - lse_bg, the log of the ratio of the two
    masses of attention. Each image is judged by itself, so any number of images per pass gives the same.
    """

    def __init__(self):
        self.contrasts: list[torch.Tensor] = []  # of each block, [B, S]

    def look(self, qkv: Part, s: Streams, attend) -> None:
        """Adds what one block's image queries look at."""
        lse_bg, lse_ent = (qkv.attend(attend, s.img, text)[1] for text in (s.bg, s.ent))
        contrast_BHS = (lse_ent - lse_bg).nan_to_num(0.0, MOST, -MOST)  # a mask may hide a whole text
        self.contrasts.append(contrast_BHS.mean(1))

    def gate(self) -> torch.Tensor:
        """The share of theta that each image token gets: near 1 on the entity, near 0 elsewhere; [B, 1, S], float32."""
        contrast_BS = torch.stack(self.contrasts).mean(0)
        spread_B1, mean_B1 = torch.std_mean(contrast_BS, -1, keepdim=True)
        standard_BS = (contrast_BS - mean_B1) / spread_B1.clamp(min=1e-6)
        return torch.sigmoid(SHARPNESS * (standard_BS - THRESHOLD)).unsqueeze(1)
