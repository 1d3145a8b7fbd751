"""A judge of what the mini model paints, trained apart from it: which subject, which place."""

import time
from pathlib import Path

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
    """Logits of subject (the last class: none) and place for pictures [B, 3, 128, 128] in [-1,
    1].
    """

    def __init__(self, width: int = 32):
        super().__init__()
        self.features = nn.Sequential(
            Down(3, width),
            Down(width, 2 * width),
            Down(2 * width, 4 * width),
            Down(4 * width, 4 * width),
        )
        self.subject = nn.Linear(4 * width, len(SUBJECTS) + 1)
        self.place = nn.Linear(4 * width, len(PLACES))

    def forward(self, x):
        features = self.features(x)
        return self.subject(features.amax((2, 3))), self.place(features.mean((2, 3)))


def judge_of(work: Path) -> Judge:
    """The judge trained on the scenes in `work`, which it is kept beside."""
    judge, path = Judge(), work / "judge.pt"
    if not path.is_file():
        torch.save(train_judge(SceneArrays(work / "train")).state_dict(), path)
    judge.load_state_dict(torch.load(path, weights_only=True))
    return judge.eval()


def train_judge(scenes: SceneArrays, steps: int = 800, batch: int = 48, seed: int = 5) -> Judge:
    """Train on the scenes, with some blur and noise so that it judges the content, not the
    rendering.
    """
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
            print(
                f"judge step {step + 1} loss {loss.item():.3f} {time.time() - start:.0f} s",
                flush=True,
            )
    return judge.eval()


def loss_of(judge: Judge, x, scenes: SceneArrays, index):
    subject, place = judge(x)
    names, places = (
        torch.from_numpy(np.array(a[index])).long().to(x.device)
        for a in (scenes.subject_N, scenes.place_N)
    )
    return F.cross_entropy(subject, names % (len(SUBJECTS) + 1)) + F.cross_entropy(place, places)


@torch.no_grad()
def verdicts(judge: Judge, images_BHWC: torch.Tensor) -> list[tuple[str | None, str]]:
    """(subject, or None where there is none; place) of host IMAGEs [B, H, W, 3]."""
    subject, place = judge(images_BHWC.permute(0, 3, 1, 2) * 2 - 1)
    names = [*(s.name for s in SUBJECTS), None]
    return [
        (names[i], PLACES[j].name) for i, j in zip(subject.argmax(1), place.argmax(1), strict=True)
    ]
