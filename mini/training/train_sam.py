"""Trains Mini SAM: any point in the subject gives the whole subject, any other point gives nothing.

Losses as in Kirillov et al. 2023: 20 × focal + dice, and the squared error of the predicted IoU,
whose target for a point outside the subject is 0. That is what lets a grid of points find the
subject and leave an empty scene alone.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from segment_anything.modeling import MaskDecoder, Sam
from torch.nn import functional as F

from ..sam import build_mini_sam
from ..size import SIZE
from .augment import roughen, scenes_at
from .dataset import SceneArrays, draw_index
from .loop import Budget, Rate, resume, train
from .optimizer import Optimizer
from .precision import autocast

POINTS = (2, 1)  # per scene: in the subject, outside of it; one box comes on top
SINGLE = 0  # the decoder's outputs
MULTIMASK = 1
COVERED = 0.6  # mask coverage, at least, of the pixels that a point in the subject is taken from
CLEAR = 0.02  # and, at most, of those that a point outside of it is taken from


def move(images_BCHW, masks_B1HW):
    """Picture and mask together mirrored, shifted by up to 10 % and scaled by 0.85 to 1.2."""
    count = len(images_BCHW)
    scale_B = torch.empty(count).uniform_(0.85, 1.2)
    mirror_B = torch.randint(0, 2, (count,)) * 2.0 - 1
    dx_B, dy_B = torch.empty(2, count).uniform_(-0.2, 0.2)
    zero_B = torch.zeros(count)
    x_row_B3 = torch.stack([scale_B * mirror_B, zero_B, dx_B], 1)
    y_row_B3 = torch.stack([zero_B, scale_B, dy_B], 1)
    affine_B23 = torch.stack([x_row_B3, y_row_B3], 1)
    grid = F.affine_grid(affine_B23, list(images_BCHW.shape), align_corners=False)
    both_B4HW = torch.cat([images_BCHW, masks_B1HW], 1)
    both_B4HW = F.grid_sample(both_B4HW, grid, padding_mode="border", align_corners=False)
    return both_B4HW.split([3, 1], 1)


def draw_points(masks_B1HW, counts: tuple[int, int] = POINTS):
    """Pixels [B, P, 2] (x, y) and whether each lies in the subject [B, P]; without a subject all
    lie outside.
    """
    coverage_BS = masks_B1HW.flatten(1)
    inside_BS = (coverage_BS > COVERED).float()
    outside_BS = (coverage_BS < CLEAR).float()
    subject_BS = torch.where(inside_BS.any(1, keepdim=True), inside_BS, outside_BS)
    first_BP = torch.multinomial(subject_BS, counts[0], replacement=True)
    rest_BP = torch.multinomial(outside_BS, counts[1], replacement=True)
    index_BP = torch.cat([first_BP, rest_BP], 1)
    points_BP2 = torch.stack([index_BP % SIZE, index_BP // SIZE], -1).float()
    return points_BP2, coverage_BS.gather(1, index_BP) > COVERED


def draw_boxes(masks_B1HW):
    """One box [B, 4] (x, y, x, y) around each subject, a little off; in an empty scene a box
    anywhere.
    """
    corners_B22 = torch.rand(len(masks_B1HW), 2, 2) * SIZE
    boxes_B4 = torch.cat([corners_B22.amin(1), corners_B22.amax(1)], 1)
    for box_4, mask_HW in zip(boxes_B4, masks_B1HW[:, 0] > 0.5, strict=True):
        if mask_HW.any():
            ys, xs = mask_HW.nonzero(as_tuple=True)
            around_4 = torch.stack([xs.min(), ys.min(), xs.max(), ys.max()])
            box_4.copy_(around_4.float() + 2 * torch.randn(4))
    return boxes_B4


def predictions(sam: Sam, images_BCHW, points_BP2, boxes_B4):
    """Logits [B, P + 1, 64, 64] and predicted IoU [B, P + 1] of every point and, last, the box.

    As the class hands them out: points are answered by the multimask output, boxes by the single
    one.
    """
    count = len(images_BCHW)
    embeddings = sam.image_encoder((images_BCHW * 255 - sam.pixel_mean) / sam.pixel_std)
    points = points_BP2.flatten(0, 1)[:, None]
    by_point, empty = sam.prompt_encoder((points, torch.ones(points.shape[:2])), None, None)
    by_box, _ = sam.prompt_encoder(None, boxes_B4, None)
    prompts = torch.cat([by_point.unflatten(0, (count, -1)), by_box[:, None]], 1)
    no_mask = empty[: prompts.shape[1]]
    positions = sam.prompt_encoder.get_dense_pe()
    # The decoder takes many prompts of one picture; vmap makes that many prompts of many pictures.
    decode = torch.vmap(decode_one, in_dims=(None, 0, 0, None, None))
    logits, iou = decode(sam.mask_decoder, embeddings, prompts, positions, no_mask)
    return pick_answers(logits), pick_answers(iou)


def decode_one(decoder: MaskDecoder, embedding_CHW, prompts, positions, no_mask):
    return decoder.predict_masks(embedding_CHW[None], positions, prompts, no_mask)


def pick_answers(outputs):
    """Of the decoder's outputs, on axis 2, the one that answers each prompt; the last is a box."""
    return torch.cat([outputs[:, :-1, MULTIMASK], outputs[:, -1:, SINGLE]], 1).float()


def sam_loss(sam: Sam, images_BCHW, masks_B1HW):
    """The loss, and the IoU of the masks whose prompt shows a subject."""
    points_BP2, hits_BP = draw_points(masks_B1HW)
    with autocast(images_BCHW.device):
        logits, iou_BQ = predictions(sam, images_BCHW, points_BP2, draw_boxes(masks_B1HW))
    logits_BQHW = F.interpolate(logits, scale_factor=SIZE / logits.shape[-1], mode="bilinear")
    has_subject_B1 = masks_B1HW.flatten(1).amax(1, keepdim=True) > COVERED
    hits_BQ = torch.cat([hits_BP, has_subject_B1], 1)
    truth_BQHW = masks_B1HW * hits_BQ[:, :, None, None]
    real_iou_BQ = iou_of(logits_BQHW > 0, truth_BQHW > 0.5)
    focal, dice = mask_losses(logits_BQHW, truth_BQHW)
    return 20 * focal + dice + F.mse_loss(iou_BQ, real_iou_BQ), real_iou_BQ[hits_BQ].mean()


def mask_losses(logits_BQHW, truth_BQHW):
    """Focal loss and dice loss."""
    shares_BQHW = logits_BQHW.sigmoid()
    entropy = F.binary_cross_entropy_with_logits(logits_BQHW, truth_BQHW, reduction="none")
    focal = entropy * (shares_BQHW - truth_BQHW).square()
    overlap_BQ = (shares_BQHW * truth_BQHW).sum((2, 3))
    dice_BQ = 1 - (2 * overlap_BQ + 1) / ((shares_BQHW + truth_BQHW).sum((2, 3)) + 1)
    return focal.mean(), dice_BQ.mean()


def iou_of(a, b):
    """Intersection over union of boolean masks over the last two axes; 0 where both are empty."""
    return (a & b).sum((-1, -2)) / (a | b).sum((-1, -2)).clamp(min=1)


def sam_batches(scenes: SceneArrays, batch: int, rng) -> Iterator[tuple]:
    """Pictures and masks, moved about; the pictures as a model might have painted them."""
    while True:
        index = draw_index(rng, scenes, batch)
        images_BCHW, masks_B1HW = move(*scenes_at(scenes, index))
        yield roughen(images_BCHW), masks_B1HW


def is_matrix(name: str) -> bool:
    return ".blocks." in name or ".transformer." in name


def train_sam(
    scenes: SceneArrays, path: Path, budget: Budget, batch: int = 16, seed: int = 0
) -> Sam:
    """Train, going on from the weights at `path` where there are any; they are written there."""
    torch.manual_seed(seed)
    sam = build_mini_sam()
    rng = np.random.default_rng([seed, resume(sam, path)])
    sam = sam.to(torch.get_default_device())
    optimizer = Optimizer(sam, decay=0.01, is_matrix=is_matrix, memory=0.995)
    batches = sam_batches(scenes, batch, rng)
    sam.load_state_dict(train("sam", optimizer, batches, sam_loss, Rate(3e-3), budget, path))
    return sam.eval()
