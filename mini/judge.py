"""A judge of what the mini model paints, trained apart from it: which subject, which place, where the subject is."""

import time

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from .dataset import SceneArrays
from .train_codec import pictures
from .world import PLACES, SUBJECTS


class Down(nn.Sequential):
    def __init__(self, a: int, b: int):
        super().__init__(nn.Conv2d(a, b, 3, stride=2, padding=1), nn.GroupNorm(8, b), nn.SiLU())


class Judge(nn.Module):
    """Logits of subject (the last class: none), place and mask [B, 32, 32] for pictures [B, 3, 128, 128] in [-1, 1]."""

    def __init__(self, width: int = 32):
        super().__init__()
        self.fine = nn.Sequential(Down(3, width), Down(width, 2 * width))
        self.coarse = nn.Sequential(Down(2 * width, 4 * width), Down(4 * width, 4 * width))
        self.subject = nn.Linear(4 * width, len(SUBJECTS) + 1)
        self.place = nn.Linear(4 * width, len(PLACES))
        self.mask = nn.Sequential(
            nn.Conv2d(6 * width, 2 * width, 3, padding=1), nn.SiLU(), nn.Conv2d(2 * width, 1, 3, padding=1)
        )

    def forward(self, x):
        fine = self.fine(x)
        coarse = self.coarse(fine)
        both = torch.cat([fine, F.interpolate(coarse, fine.shape[-2:], mode="bilinear")], 1)
        return self.subject(coarse.amax((2, 3))), self.place(coarse.mean((2, 3))), self.mask(both)[:, 0]


def train_judge(scenes: SceneArrays, steps: int = 800, batch: int = 48, seed: int = 5) -> Judge:
    """Train on the scenes, with some blur and noise so that it judges the content, not the rendering."""
    torch.manual_seed(seed)
    judge = Judge()
    optimizer = torch.optim.AdamW(judge.parameters(), lr=2e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=steps)
    start, sampler = time.time(), np.random.default_rng(seed)
    for step in range(steps):
        index = np.sort(sampler.integers(len(scenes), size=batch))
        x = pictures(scenes, index)
        x = F.avg_pool2d(x, 3, 1, 1) if step % 3 == 0 else x
        x = x + 0.1 * torch.rand(1, device=x.device) * torch.randn_like(x)
        loss = loss_of(judge, x, scenes, index)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 100 == 99:
            print(f"judge step {step + 1} loss {loss.item():.3f} {time.time() - start:.0f} s", flush=True)
    return judge.eval()


def loss_of(judge: Judge, x, scenes: SceneArrays, index):
    def labels(array):
        return torch.from_numpy(np.array(array[index])).to(x.device)

    subject, place, mask = judge(x)
    truth = F.avg_pool2d(labels(scenes.masks_NHW).float()[:, None] / 255, 4)[:, 0]
    which = labels(scenes.subject_N).long() % (len(SUBJECTS) + 1)
    return (
        F.cross_entropy(subject, which)
        + F.cross_entropy(place, labels(scenes.place_N).long())
        + F.binary_cross_entropy_with_logits(mask, truth)
    )


@torch.no_grad()
def verdicts(judge: Judge, images_BHWC: torch.Tensor) -> tuple[list[str | None], list[str], torch.Tensor]:
    """Subjects (None: nothing there), places, and masks [B, 128, 128] in {0, 1} of host IMAGEs [B, H, W, 3]."""
    subject, place, mask = judge(images_BHWC.permute(0, 3, 1, 2) * 2 - 1)
    names = [*(s.name for s in SUBJECTS), None]
    mask = F.interpolate(mask[:, None], images_BHWC.shape[1:3], mode="bilinear")[:, 0] > 0
    return [names[i] for i in subject.argmax(1)], [PLACES[i].name for i in place.argmax(1)], mask.float()
