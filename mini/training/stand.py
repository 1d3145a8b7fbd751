"""What the drawing knows, taught beside the painting: where the subject stands.

As in REPA (Yu et al. 2025), tokens of an early block learn to tell more than the loss asks of them,
but not what another model sees: here the way the subject stands, how much of the token it covers
and which of its points lies there. Without it a model this small learns the parts long before the
whole: rows of legs, owls with four eyes.
"""

import torch
from torch import nn
from torch.nn import functional as F

from ..world.scene import GRID, VIEWS

WAYS = len(VIEWS) + 1  # and no subject
LEADERS = [1, 3, 5]  # latent channels, one for each view; any would do, but weights know theirs
WEIGHT = 0.2


class StandHead(nn.Sequential):
    """Tokens [B, L, D] -> logits of the way to stand (WAYS) and of being covered (1), and the point
    of the subject (2).
    """

    def __init__(self, width: int):
        super().__init__(nn.LayerNorm(width), nn.Linear(width, WAYS + 1 + 2))


def stand_loss(told_BLO, stand_B, cover_BL):
    """Cross-entropy of the way to stand and of the cover, and the squared error of the points where
    there is a subject. Side by side the tokens make a square.
    """
    side = round(cover_BL.shape[1] ** 0.5)
    way_BLW, cover_logit_BL, point_BL2 = told_BLO.split((WAYS, 1, 2), -1)
    way = F.cross_entropy(way_BLW.transpose(1, 2), stand_B[:, None].expand_as(cover_BL))
    cover = F.binary_cross_entropy_with_logits(cover_logit_BL[..., 0], cover_BL)
    error_BL = (point_BL2 - points_of_subjects(side)[stand_B]).square().mean(-1)
    return way + cover + (error_BL * cover_BL).sum() / cover_BL.sum().clamp(min=1)


def lead_noise(noise_BCHW, stand_B):
    """Noise that tells how the subject stands: of LEADERS, that way's has the highest mean.

    Two channels exchange their means. As all ways are equally frequent, the noise of all scenes
    together stays normal, and sampling starts from plain noise: only which noise goes with which
    picture is chosen, as in flow matching with a coupling (Tong et al. 2024). Drawn apart, a run's
    first steps show the mean of all ways, and a model this small cannot leave it: two-headed cats.
    """
    rows = torch.arange(len(noise_BCHW), device=noise_BCHW.device)
    leaders = torch.tensor(LEADERS, device=noise_BCHW.device)
    mean_BW = noise_BCHW[:, leaders].mean((2, 3))
    highest_B = mean_BW.argmax(1)
    own_B = torch.where(stand_B > 0, stand_B - 1, highest_B)
    rise_B11 = (mean_BW[rows, highest_B] - mean_BW[rows, own_B])[:, None, None]
    noise_BCHW = noise_BCHW.clone()
    noise_BCHW[rows, leaders[own_B]] += rise_B11
    noise_BCHW[rows, leaders[highest_B]] -= rise_B11
    return noise_BCHW


def points_of_subjects(side: int) -> torch.Tensor:
    """Which point of a subject lies in each of side × side tokens [WAYS, L, 2]: from its feet, in
    halves of its view's size. Those in the air stand as if on the ground.
    """
    ys, xs = torch.meshgrid(*2 * [(torch.arange(side) + 0.5) * GRID / side], indexing="ij")
    points = [torch.stack([xs, ys], -1) * 2 / GRID]
    for view in VIEWS:
        from_feet = torch.stack([view.x - xs, ys - view.feet], -1)
        points.append(from_feet * 2 / (GRID * view.scale))
    return torch.stack(points).flatten(1, 2)
