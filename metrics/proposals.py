"""Which of many proposed masks is the entity of a picture: scores from the masks alone, no model.

One picture holds one entity, and nobody clicks on it. The paper does not say how its entities were
found; this is the recipe here. Every point of a grid proposes masks. A proposal's score is the
product of

- quality: the model's own IoU estimate × the stability of the mask under another threshold;
- consensus: the share of the grid points inside the mask that propose this same mask, which parts
  and chance merges of two things rarely reach;
- size: full from 4 % of the picture on, less below (∝ the root of the area), nothing above 80 %;
- place: a bell around the picture's center, over the mask's centroid;
- frame: what covers little of the picture's frame; nothing from 70 % on.

Scenery is thrown out first: what reaches from the left side to the right without standing on the
lower edge (sky, hills), or over most of its height (floor), or from top to bottom over most of its
width (walls). Entities cut by the frame, head and shoulders too, are not like that. The best score
wins, or a larger mask around it that scores nearly as well: the whole rather than its part.

Shapes: N masks, P grid points, H × W the grid of the logits.
"""

from dataclasses import dataclass

import torch
from torch.nn import functional as F

STABILITY_OFFSET = 1.0  # logits; as in Segment Anything's own mask generator
FULL_SIZE, LARGEST, TAPER = 0.04, 0.8, 0.2
SPREAD = 0.45  # of the bell, in half pictures
MOST_FRAME, MOST_SPAN = 0.7, 0.5
SAME_IOU = 0.75
PART_OVERLAP = 0.9
NEAR_BEST = 0.6
COMPARED = 64  # masks are compared with one another on a grid of at most this size


@dataclass(frozen=True)
class Proposals:
    """Masks as logits, the model's IoU estimates, the grid point each came from, and the points as
    (x, y) in [0, 1].
    """

    logits_NHW: torch.Tensor
    iou_N: torch.Tensor
    point_N: torch.Tensor
    points_P2: torch.Tensor

    def __len__(self) -> int:
        return len(self.logits_NHW)


def check_search(points_per_side: int, min_score: float) -> None:
    """ValueError for settings that would choose a mask at random; NaN passes the host's own minimum
    and maximum.
    """
    if points_per_side < 1:
        raise ValueError(f"points_per_side must be 1 or more; it is {points_per_side}.")
    if not 0 <= min_score <= 1:
        raise ValueError(f"min_score must be a number from 0 to 1; it is {min_score}.")


def grid_points(per_side: int) -> torch.Tensor:
    """(x, y) in [0, 1] of the cell centers of a grid, [per_side², 2]."""
    line = (torch.arange(per_side) + 0.5) / per_side
    return torch.cartesian_prod(line, line).flip(-1)


def pick_entity(proposals: Proposals, min_score: float) -> int | None:
    """The index of the entity's mask; None when no proposal scores `min_score`."""
    if not len(proposals):
        return None
    masks_NHW = proposals.logits_NHW > 0
    score_N = scores(proposals)
    best = int(score_N.argmax())
    if score_N[best] < min_score:
        return None
    area_N = areas(masks_NHW)
    shared_N = (masks_NHW & masks_NHW[best]).float().mean((1, 2))
    whole_N = (shared_N >= PART_OVERLAP * area_N[best]) & (
        score_N >= max(min_score, NEAR_BEST * float(score_N[best]))
    )
    return int(torch.where(whole_N, area_N, 0).argmax())


def scores(proposals: Proposals) -> torch.Tensor:
    """The score of each proposal [N] in [0, 1]; 0 for scenery."""
    quality_N = proposals.iou_N.clamp(0, 1) * stability(proposals.logits_NHW)
    return quality_N * shape_prior(proposals.logits_NHW > 0) * consensus(proposals)


def shape_prior(masks_NHW: torch.Tensor) -> torch.Tensor:
    """How much each mask [N], by its size, place and frame, is like the entity of a picture; 0 for
    scenery.
    """
    area_N = areas(masks_NHW)
    size_N = (area_N / FULL_SIZE).clamp(max=1).sqrt() * ((LARGEST - area_N) / TAPER).clamp(0, 1)
    frame_N = (1 - frame_share(masks_NHW) / MOST_FRAME).clamp(min=0)
    return size_N * center_prior(masks_NHW) * frame_N * ~scenery(masks_NHW)


def areas(masks_NHW: torch.Tensor) -> torch.Tensor:
    """The share of the picture that each mask covers."""
    return masks_NHW.float().mean((1, 2))


def stability(logits_NHW: torch.Tensor) -> torch.Tensor:
    """IoU of the masks at a higher and a lower threshold; 0 for empty ones."""
    inner, outer = (
        (logits_NHW > STABILITY_OFFSET).sum((1, 2)),
        (logits_NHW > -STABILITY_OFFSET).sum((1, 2)),
    )
    return inner / outer.clamp(min=1)


def center_prior(masks_NHW: torch.Tensor) -> torch.Tensor:
    """1 for a centroid in the middle of the picture, falling like a bell towards the frame."""
    weight_NHW = masks_NHW.float() / masks_NHW.sum((1, 2), keepdim=True).clamp(min=1)
    y_N, x_N = (
        (weight_NHW.sum(other) * torch.linspace(-1, 1, length, device=masks_NHW.device)).sum(1)
        for other, length in ((2, masks_NHW.shape[1]), (1, masks_NHW.shape[2]))
    )
    return torch.exp(-(x_N.square() + y_N.square()) / (2 * SPREAD**2))


def frame_share(masks_NHW: torch.Tensor) -> torch.Tensor:
    """The share of the picture's four sides that each mask covers."""
    sides = (masks_NHW[:, 0], masks_NHW[:, -1], masks_NHW[:, :, 0], masks_NHW[:, :, -1])
    return torch.stack([side.float().mean(1) for side in sides]).mean(0)


def scenery(masks_NHW: torch.Tensor) -> torch.Tensor:
    """Which masks [N] reach across the picture as sky, hills, floors and walls do."""
    top, bottom, left, right = (
        masks_NHW[:, 0],
        masks_NHW[:, -1],
        masks_NHW[:, :, 0],
        masks_NHW[:, :, -1],
    )
    afloat_N = left.any(1) & right.any(1) & ~bottom.any(1)
    rows_N = (left & right).sum(1) / masks_NHW.any(2).sum(1).clamp(min=1)
    columns_N = (top & bottom).sum(1) / masks_NHW.any(1).sum(1).clamp(min=1)
    return afloat_N | (torch.maximum(rows_N, columns_N) >= MOST_SPAN)


def consensus(proposals: Proposals) -> torch.Tensor:
    """The share of the grid points inside each mask that propose the same mask (IoU of at least
    SAME_IOU).
    """
    masks_NHW = proposals.logits_NHW > 0
    same_NN = pairwise_iou(masks_NHW) >= SAME_IOU
    from_PN = F.one_hot(proposals.point_N, len(proposals.points_P2)).T.float()
    voted_PN = from_PN @ same_NN.float() > 0
    inside_PN = at_points(masks_NHW, proposals.points_P2)
    return (voted_PN & inside_PN).sum(0) / inside_PN.sum(0).clamp(min=1)


def at_points(masks_NHW: torch.Tensor, points_P2: torch.Tensor) -> torch.Tensor:
    """Whether each point lies in each mask, [P, N]."""
    height, width = masks_NHW.shape[1:]
    x_P, y_P = (points_P2 * points_P2.new_tensor([width, height])).long().unbind(1)
    return masks_NHW[:, y_P.clamp(max=height - 1), x_P.clamp(max=width - 1)].T


def pairwise_iou(masks_NHW: torch.Tensor) -> torch.Tensor:
    """IoU of every two masks [N, N], on a coarse grid where they are large."""
    height, width = (min(COMPARED, length) for length in masks_NHW.shape[1:])
    flat_ND = F.interpolate(masks_NHW[None].float(), (height, width))[0].flatten(1)
    shared_NN, area_N = flat_ND @ flat_ND.T, flat_ND.sum(1)
    return shared_NN / (area_N[:, None] + area_N - shared_NN).clamp(min=1)
