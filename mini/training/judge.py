"""A judge of what the mini model paints, trained apart from it: which subject, which place."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from ..world import PLACES, SUBJECTS
from .augment import pictures
from .dataset import SceneArrays, draw_index, names_at, provide_scenes
from .loop import Budget, Rate, resume, train
from .optimizer import Optimizer

SCENES = 8000
STEPS = 800
NAMES = (*(subject.name for subject in SUBJECTS), None)


class Down(nn.Sequential):
    def __init__(self, a: int, b: int):
        super().__init__(nn.Conv2d(a, b, 3, stride=2, padding=1), nn.GroupNorm(8, b), nn.SiLU())


class Judge(nn.Module):
    """Logits of subject (the last class: none) and place for pictures [B, 3, H, W] in [-1, 1]."""

    def __init__(self, width: int = 32):
        super().__init__()
        self.features = nn.Sequential(
            Down(3, width),
            Down(width, 2 * width),
            Down(2 * width, 4 * width),
            Down(4 * width, 4 * width),
        )
        self.subject = nn.Linear(4 * width, len(NAMES))
        self.place = nn.Linear(4 * width, len(PLACES))

    def forward(self, x_BCHW):
        features_BCHW = self.features(x_BCHW)
        return self.subject(features_BCHW.amax((2, 3))), self.place(features_BCHW.mean((2, 3)))


def provide_judge(work: Path, scenes: int = SCENES, steps: int = STEPS) -> Judge:
    """The judge kept in `work`; where there is none, scenes are drawn there and it is trained."""
    path = work / "judge.pt"
    judge = Judge()
    if not resume(judge, path):
        judge = train_judge(provide_scenes(work / "judge", scenes, seed=5), Budget(steps=steps))
        torch.save(judge.state_dict(), path)
    return judge.eval()


def train_judge(scenes: SceneArrays, budget: Budget, batch: int = 48, seed: int = 5) -> Judge:
    torch.manual_seed(seed)
    judge = Judge()
    batches = judge_batches(scenes, batch, np.random.default_rng(seed))
    optimizer = Optimizer(judge, decay=0.01, memory=0.99)
    judge.load_state_dict(train("judge", optimizer, batches, judge_loss, Rate(4e-3), budget))
    return judge.eval()


def judge_batches(scenes: SceneArrays, batch: int, rng) -> Iterator[tuple]:
    """Pictures, some soft and noisy, so that the content is judged and not the rendering, with
    the indexes of their subjects and places.
    """
    while True:
        index = draw_index(rng, scenes, batch)
        x_BCHW = pictures(scenes, index)
        if rng.random() < 1 / 3:
            x_BCHW = F.avg_pool2d(x_BCHW, 3, 1, 1)
        noise_BCHW = torch.rand(batch, 1, 1, 1) * torch.randn_like(x_BCHW)
        yield x_BCHW + 0.1 * noise_BCHW, *names_at(scenes, index)


def judge_loss(judge: Judge, x_BCHW, subject_B, place_B):
    """The loss, twice: the log shows it too."""
    subject_logits, place_logits = judge(x_BCHW)
    by_subject = F.cross_entropy(subject_logits, subject_B % len(NAMES))  # -1: the last class
    loss = by_subject + F.cross_entropy(place_logits, place_B)
    return loss, loss


@torch.no_grad()
def verdicts(judge: Judge, images_BHWC: torch.Tensor) -> list[tuple[str | None, str]]:
    """(subject, or None where there is none; place) of host IMAGEs [B, H, W, 3]."""
    subject_logits, place_logits = judge(images_BHWC.permute(0, 3, 1, 2) * 2 - 1)
    best = zip(subject_logits.argmax(1), place_logits.argmax(1), strict=True)
    return [(NAMES[i], PLACES[j].name) for i, j in best]
