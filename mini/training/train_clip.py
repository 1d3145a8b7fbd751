"""Trains Mini CLIP on pictures and captions of the mini world.

The loss is CLIP's (Radford et al. 2021) with the logit scale held at CLIP's own limit, so that its
cosines spread as CLIP's do. A caption may fit several pictures of a batch ("a fox" fits every fox):
the target is spread over them all.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import open_clip
import torch
from torch.nn import functional as F

from ...metrics.clip import Preprocessing
from ..clip import SIDE, build_mini_clip, tokenizer
from ..world import PLACES, SUBJECTS, caption
from .augment import roughen, scenes_at
from .dataset import NONE, SceneArrays, draw_index, names_at
from .loop import Budget, Rate, resume, train
from .optimizer import Optimizer
from .precision import autocast

SCALE = 100.0
SUBJECT_ALONE = 0.15
PLACE_ALONE = 0.15
ANY = -2  # what a caption leaves open


def captions(
    rng: np.random.Generator, subject_B, place_B
) -> tuple[list[str], torch.Tensor, torch.Tensor]:
    """A caption for each scene, and the indexes of the subject and place it names (ANY: left
    open).
    """
    texts, named = [], []
    for s, p in zip(subject_B.tolist(), place_B.tolist(), strict=True):
        draw = rng.random()
        if s != NONE and draw < SUBJECT_ALONE:
            texts.append(caption(rng, SUBJECTS[s], None).text)
            named.append((s, ANY))
        else:
            alone = s == NONE or draw > 1 - PLACE_ALONE
            texts.append(caption(rng, None if alone else SUBJECTS[s], PLACES[p]).text)
            named.append((ANY if alone else s, p))
    named = torch.tensor(named)
    return texts, named[:, 0], named[:, 1]


def fits(named_T, is_B) -> torch.Tensor:
    """[B, T]: whether what a text names, or leaves open, is what a picture shows."""
    return (named_T[None] == ANY) | (named_T[None] == is_B[:, None])


def contrastive_loss(logits_BT, right_BT) -> torch.Tensor:
    """Cross-entropy both ways, to a target spread evenly over all that is right."""
    rows = F.cross_entropy(logits_BT, right_BT / right_BT.sum(1, keepdim=True))
    columns = F.cross_entropy(logits_BT.T, (right_BT / right_BT.sum(0, keepdim=True)).T)
    return (rows + columns) / 2


def clip_batches(scenes: SceneArrays, batch: int, rng) -> Iterator[tuple]:
    """Pictures as Mini CLIP takes them, token ids of a caption each, and which caption fits which
    picture.
    """
    tokenize = tokenizer()
    prepare = Preprocessing(size=(SIDE, SIDE))
    while True:
        index = draw_index(rng, scenes, batch)
        images_BCHW, _ = scenes_at(scenes, index)
        subject_B, place_B = names_at(scenes, index)
        texts, named_subject_T, named_place_T = captions(rng, subject_B, place_B)
        right_BT = fits(named_subject_T, subject_B) & fits(named_place_T, place_B)
        yield prepare(roughen(images_BCHW).movedim(1, -1)), tokenize(texts), right_BT.float()


def clip_loss(clip: open_clip.CLIP, images_BCHW, ids_BT, right_BT):
    """The loss, twice: the log shows it too."""
    with autocast(images_BCHW.device):
        seen_BE = clip.encode_image(images_BCHW)
        read_BE = clip.encode_text(ids_BT)
    seen_BE = F.normalize(seen_BE.float(), dim=-1)
    read_BE = F.normalize(read_BE.float(), dim=-1)
    loss = contrastive_loss(SCALE * seen_BE @ read_BE.T, right_BT)
    return loss, loss


def train_clip(
    scenes: SceneArrays, path: Path, budget: Budget, batch: int = 96, seed: int = 0
) -> open_clip.CLIP:
    """Train, going on from the weights at `path` where there are any; they are written there."""
    torch.manual_seed(seed)
    clip = build_mini_clip()
    rng = np.random.default_rng([seed, resume(clip, path)])
    clip.logit_scale.requires_grad_(False).fill_(np.log(SCALE))
    optimizer = Optimizer(clip, decay=0.05)
    batches = clip_batches(scenes, batch, rng)
    rate = Rate(1e-3, warmup=200)
    clip.load_state_dict(train("clip", optimizer, batches, clip_loss, rate, budget, path))
    return clip.eval()
