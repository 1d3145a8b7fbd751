"""Trains Mini CLIP on pictures and captions of the mini world.

The loss is CLIP's (Radford et al. 2021) with the logit scale held at CLIP's own limit, so that its
cosines spread as CLIP's do. A caption may fit several pictures of a batch ("a fox" fits every fox):
the target is spread over them all.
"""

import time
from pathlib import Path

import numpy as np
import open_clip
import torch
from torch.nn import functional as F

from .augment import painted, scenes_at
from .clip import build_mini_clip, tokenizer
from .dataset import NONE, SceneArrays, allowed_pairs
from .world import PLACES, SUBJECTS, caption, draw_scene
from .world.captions import sentence

SCALE = 100.0
SUBJECT_ALONE, PLACE_ALONE = 0.15, 0.15
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


def train_clip(
    scenes: SceneArrays,
    path: Path,
    minutes: float,
    batch: int = 96,
    rate: float = 1e-3,
    seed: int = 0,
):
    """Train for `minutes`, going on from the weights at `path` where there are any, and write them
    there as it goes.
    """
    torch.manual_seed(seed)
    clip, tokenize = build_mini_clip(), tokenizer()
    if path.is_file():
        clip.load_state_dict(torch.load(path, weights_only=True))
    clip.logit_scale.requires_grad_(False).fill_(np.log(SCALE))
    optimizer = torch.optim.AdamW(clip.parameters(), lr=rate, betas=(0.9, 0.98), weight_decay=0.05)
    average = {name: weight.clone() for name, weight in clip.state_dict().items()}
    start, step, rng, mean, std = (
        time.time(),
        0,
        np.random.default_rng([seed, path.is_file()]),
        *normalisation(),
    )
    while (progress := (time.time() - start) / (60 * minutes)) < 1:
        for group in optimizer.param_groups:
            group["lr"] = rate * min(1, step / 200) * (1 - progress)
        index = np.sort(rng.integers(len(scenes), size=batch))
        images, _ = scenes_at(scenes, index)
        subject, place = (
            torch.from_numpy(np.array(a[index])).long() for a in (scenes.subject_N, scenes.place_N)
        )
        texts, named_subject, named_place = captions(rng, subject, place)
        right = (fits(named_subject, subject) & fits(named_place, place)).float()
        with torch.autocast(images.device.type, torch.bfloat16):
            seen = clip.encode_image((painted(images) - mean) / std)
            read = clip.encode_text(tokenize(texts))
        seen, read = F.normalize(seen.float(), dim=-1), F.normalize(read.float(), dim=-1)
        loss = contrastive_loss(SCALE * seen @ read.T, right)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(clip.parameters(), 1.0)
        optimizer.step()
        step += 1
        for name, weight in clip.state_dict().items():
            average[name].lerp_(weight, 1 - min(0.998, step / (step + 20)))
        if step % 50 == 0:
            speed = step * batch / (time.time() - start)
            print(
                f"clip step {step} loss {loss.item():.3f} {speed:.0f} img/s {progress:.0%}",
                flush=True,
            )
            torch.save(average, path)
    clip.load_state_dict(average)
    torch.save(average, path)
    return clip.eval()


def normalisation() -> tuple[torch.Tensor, torch.Tensor]:
    """CLIP's own mean and deviation of pixels, [3, 1, 1] each."""
    return tuple(
        torch.tensor(v)[:, None, None]
        for v in (open_clip.OPENAI_DATASET_MEAN, open_clip.OPENAI_DATASET_STD)
    )


def held_out_ranking(align, count: int = 100, seed: int = 78) -> dict:
    """How `align` (images [n, H, W, 3], prompts -> scores) ranks texts on pairs never trained on.

    Returns the shares of scenes whose right subject is first of all subjects, and right place first
    of all places, and the mean scores of the right text, of those with another subject, and of
    those with another place.
    """
    pairs, rng = allowed_pairs(held=True), np.random.default_rng(seed)
    hits, scores = [], []
    for i, j in (pairs[k] for k in rng.integers(len(pairs), size=count)):
        image_HWC = draw_scene(rng, SUBJECTS[i], PLACES[j]).image_HWC
        subjects = [prompt_of(s, PLACES[j]) for s in SUBJECTS]
        places = [prompt_of(SUBJECTS[i], p) for p in PLACES]
        image = torch.from_numpy(np.array(image_HWC, np.float32))[None] / 255
        score = np.array(
            align(image.expand(len(subjects) + len(places), -1, -1, -1), subjects + places)
        )
        by_subject, by_place = np.split(score, [len(subjects)])
        hits.append((by_subject.argmax() == i, by_place.argmax() == j))
        scores.append(
            (by_subject[i], np.delete(by_subject, i).mean(), np.delete(by_place, j).mean())
        )
    names = ("subject_first", "place_first", "right", "wrong_subject", "wrong_place")
    values = [*np.mean(hits, 0), *np.mean(scores, 0)]
    return {name: float(value) for name, value in zip(names, values, strict=True)}


def prompt_of(subject, place) -> str:
    """The plainest full prompt of a subject in a place."""
    return sentence(f"{subject.nouns[0]} {subject.verbs[0]} {place.phrases[0]}, {place.tails[0]}")
