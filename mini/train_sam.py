"""Trains Mini SAM: any point in the subject gives the whole subject, any other point gives nothing.

Losses as in Kirillov et al. 2023: 20 × focal + dice, and the squared error of the predicted IoU,
whose target for a point outside the subject is 0. That is what lets a grid of points find the
subject and leave an empty scene alone.
"""

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from segment_anything.modeling import Sam
from torch.nn import functional as F

from .augment import painted, scenes_at
from .dataset import SceneArrays, allowed_pairs
from .sam import build_mini_sam
from .world import PLACES, SIZE, SUBJECTS, draw_scene

POINTS = (2, 1)  # per scene: in the subject, outside of it; one box comes on top
SINGLE, MULTIMASK = 0, 1  # the decoder's outputs
COVERED, CLEAR = (
    0.6,
    0.02,
)  # mask coverage of pixels that a point in, and outside, the subject is taken from


def moved(images, masks):
    """Picture and mask together mirrored, shifted by up to 10 % and scaled by 0.85 to 1.2."""
    count = len(images)
    scale = torch.empty(count).uniform_(0.85, 1.2)
    mirror = torch.randint(0, 2, (count,)) * 2.0 - 1
    zero, (dx, dy) = torch.zeros(count), torch.empty(2, count).uniform_(-0.2, 0.2)
    rows = torch.stack(
        [torch.stack([scale * mirror, zero, dx], 1), torch.stack([zero, scale, dy], 1)], 1
    )
    grid = F.affine_grid(rows, list(images.shape), align_corners=False)
    both = F.grid_sample(
        torch.cat([images, masks], 1), grid, padding_mode="border", align_corners=False
    )
    return both.split([3, 1], 1)


def drawn_points(masks, counts: tuple[int, int] = POINTS):
    """Pixels [B, P, 2] (x, y) and whether each lies in the subject [B, P]; without a subject all
    lie outside.
    """
    flat = masks.flatten(1)
    inside, outside = (flat > COVERED).float(), (flat < CLEAR).float()
    has_subject = inside.any(1, keepdim=True)
    index = torch.cat(
        [
            torch.multinomial(
                torch.where(has_subject, inside, outside), counts[0], replacement=True
            ),
            torch.multinomial(outside, counts[1], replacement=True),
        ],
        dim=1,
    )
    return torch.stack([index % SIZE, index // SIZE], -1).float(), flat.gather(1, index) > COVERED


def drawn_boxes(masks):
    """One box [B, 4] (x, y, x, y) around each subject, a little off; in an empty scene a box
    anywhere.
    """
    corners = torch.rand(len(masks), 2, 2) * SIZE
    boxes = torch.cat([corners.amin(1), corners.amax(1)], 1)
    for box, mask in zip(boxes, masks[:, 0] > 0.5, strict=True):
        if mask.any():
            ys, xs = mask.nonzero(as_tuple=True)
            box.copy_(
                torch.stack([xs.min(), ys.min(), xs.max(), ys.max()]).float() + 2 * torch.randn(4)
            )
    return boxes


def predictions(sam: Sam, images, points_BP2, boxes_B4):
    """Logits [B, P + 1, 64, 64] and predicted IoU [B, P + 1] of every point and, last, the box.

    As the class hands them out: points are answered by the multimask output, boxes by the single
    one.
    """
    count = len(images)
    embeddings = sam.image_encoder((images * 255 - sam.pixel_mean) / sam.pixel_std)
    points = points_BP2.flatten(0, 1)[:, None]
    by_point, empty = sam.prompt_encoder((points, torch.ones(points.shape[:2])), None, None)
    by_box, _ = sam.prompt_encoder(None, boxes_B4, None)
    prompts = torch.cat([by_point.unflatten(0, (count, -1)), by_box[:, None]], 1)
    no_mask, positions = empty[: prompts.shape[1]], sam.prompt_encoder.get_dense_pe()
    # The decoder takes many prompts of one picture; vmap makes that many prompts of many pictures.
    logits, iou = torch.vmap(
        lambda e, p: sam.mask_decoder.predict_masks(e[None], positions, p, no_mask)
    )(embeddings, prompts)
    return tuple(
        torch.cat([x[:, :-1, MULTIMASK], x[:, -1:, SINGLE]], 1).float() for x in (logits, iou)
    )


def loss_of(sam: Sam, images, masks):
    """The loss, and the IoU of the masks whose prompt shows a subject."""
    points, hits = drawn_points(masks)
    with torch.autocast(images.device.type, torch.bfloat16):
        logits, iou = predictions(sam, images, points, drawn_boxes(masks))
    logits = F.interpolate(logits, scale_factor=SIZE / logits.shape[-1], mode="bilinear")
    hits = torch.cat([hits, masks.flatten(1).amax(1, keepdim=True) > COVERED], 1)
    truth = masks * hits[:, :, None, None]
    shares = logits.sigmoid()
    focal = (
        F.binary_cross_entropy_with_logits(logits, truth, reduction="none")
        * (shares - truth).square()
    )
    overlap = (shares * truth).sum((2, 3))
    dice = 1 - (2 * overlap + 1) / ((shares + truth).sum((2, 3)) + 1)
    real = iou_of(logits > 0, truth > 0.5)
    return 20 * focal.mean() + dice.mean() + F.mse_loss(iou, real), real[hits].mean()


def iou_of(a, b):
    """Intersection over union of boolean masks over the last two axes; 0 where both are empty."""
    return (a & b).sum((-1, -2)) / (a | b).sum((-1, -2)).clamp(min=1)


class Optimiser:
    """Muon for the transformers' matrices, AdamW for all else, and a moving average of all
    weights.
    """

    def __init__(self, sam: Sam, rate: float):
        self.sam, self.rate = sam, rate
        named = list(sam.named_parameters())
        matrices = [
            p for n, p in named if p.ndim == 2 and (".blocks." in n or ".transformer." in n)
        ]
        known = {id(p) for p in matrices}
        self.optimizers = [
            torch.optim.Muon(matrices, lr=rate, weight_decay=0.01, adjust_lr_fn="match_rms_adamw"),
            torch.optim.AdamW(
                [p for _, p in named if id(p) not in known], lr=rate, betas=(0.9, 0.98)
            ),
        ]
        self.average = {name: weight.clone() for name, weight in sam.state_dict().items()}

    def step(self, scale: float, step: int) -> None:
        """One step at `scale` times the learning rate; the gradients are spent."""
        torch.nn.utils.clip_grad_norm_(self.sam.parameters(), 1.0)
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = self.rate * scale
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        for name, weight in self.sam.state_dict().items():
            self.average[name].lerp_(weight, 1 - min(0.995, step / (step + 20)))


def train_sam(
    scenes: SceneArrays,
    path: Path,
    minutes: float,
    batch: int = 16,
    rate: float = 3e-3,
    seed: int = 0,
):
    """Train for `minutes`, going on from the weights at `path` where there are any, and write them
    there as it goes.
    """
    torch.manual_seed(seed)
    sam = build_mini_sam().to(torch.get_default_device())
    if path.is_file():
        sam.load_state_dict(torch.load(path, weights_only=True))
    optimiser, sampler = Optimiser(sam, rate), np.random.default_rng([seed, int(path.is_file())])
    start, step, seen = time.time(), 0, 0.0
    while (progress := (time.time() - start) / (60 * minutes)) < 1:
        images, masks = moved(
            *scenes_at(scenes, np.sort(sampler.integers(len(scenes), size=batch)))
        )
        loss, iou = loss_of(sam, painted(images), masks)
        loss.backward()
        step += 1
        optimiser.step(min(1, step / 100) * (1 - progress), step)
        seen += (iou.nan_to_num().item() - seen) * max(0.02, 1 / step)
        if step % 50 == 0:
            speed = step * batch / (time.time() - start)
            print(
                f"sam step {step} loss {loss.item():.3f} iou {seen:.3f} {speed:.1f} img/s"
                f" {progress:.0%}",
                flush=True,
            )
            torch.save(optimiser.average, path)
    sam.load_state_dict(optimiser.average)
    torch.save(optimiser.average, path)
    return sam.eval()


def held_out_iou(
    segment: Callable[[torch.Tensor], torch.Tensor], scenes_count: int = 200, seed: int = 77
) -> dict:
    """How well `segment` (IMAGEs [n, H, W, 3] to masks [n, H, W]) finds the subjects of pairs never
    trained on.

    Returns `iou` (mean over the scenes, 0 where nothing was found), `worst` (the 5th percentile),
    `found` (the share of subjects with any mask), and `left_empty`: the share of as many scenes
    without a subject, a quarter of the count, that rightly got none.
    """
    pairs, rng = allowed_pairs(held=True), np.random.default_rng(seed)
    chosen = [pairs[i] for i in rng.integers(len(pairs), size=scenes_count)]
    ious = []
    for subject, place in chosen:
        scene = draw_scene(rng, SUBJECTS[subject], PLACES[place])
        truth = torch.tensor(np.array(scene.mask_HW)) > 127
        ious.append(iou_of(segment(as_image(scene))[0] > 0.5, truth).item())
    empty = [
        segment(as_image(draw_scene(rng))).any().item() for _ in range(max(1, scenes_count // 4))
    ]
    values = np.array(ious)
    return {
        "iou": float(values.mean()),
        "worst": float(np.quantile(values, 0.05)),
        "found": float((values > 0).mean()),
        "left_empty": 1 - float(np.mean(empty)),
    }


def as_image(scene) -> torch.Tensor:
    """A scene as the host's IMAGE [1, H, W, 3]."""
    return torch.from_numpy(np.array(scene.image_HWC, np.float32))[None] / 255
