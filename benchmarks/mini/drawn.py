"""How a segmenter and a CLIP do on drawn scenes of pairs of subject and place that no training
saw.
"""

from collections.abc import Callable

import numpy as np
import torch

from coupled.mini.training.dataset import allowed_pairs
from coupled.mini.training.train_sam import iou_of
from coupled.mini.world import PLACES, SUBJECTS, draw_scene
from coupled.mini.world.captions import sentence


def draw_pairs(count: int, rng: np.random.Generator) -> list[tuple[int, int]]:
    """Random held-out pairs, as indexes of subject and place."""
    pairs = allowed_pairs(held=True)
    return [pairs[i] for i in rng.integers(len(pairs), size=count)]


def held_out_iou(
    segment: Callable[[torch.Tensor], torch.Tensor], count: int = 200, seed: int = 77
) -> dict:
    """How well `segment` (IMAGEs [n, H, W, 3] to masks [n, H, W]) finds the subjects.

    Returns `iou` (mean over the scenes, 0 where nothing was found), `worst` (the 5th percentile),
    `found` (the share of subjects with any mask), and `left_empty`: the share of as many scenes
    without a subject, a quarter of the count, that rightly got none.
    """
    rng = np.random.default_rng(seed)
    ious, empty = [], []
    for subject, place in draw_pairs(count, rng):
        scene = draw_scene(rng, SUBJECTS[subject], PLACES[place])
        truth_HW = torch.tensor(np.array(scene.mask_HW)) > 127
        ious.append(iou_of(segment(as_image(scene))[0] > 0.5, truth_HW).item())
    for _ in range(max(1, count // 4)):
        empty.append(segment(as_image(draw_scene(rng))).any().item())
    values = np.array(ious)
    return {
        "iou": float(values.mean()),
        "worst": float(np.quantile(values, 0.05)),
        "found": float((values > 0).mean()),
        "left_empty": 1 - float(np.mean(empty)),
    }


def held_out_ranking(
    align: Callable[[torch.Tensor, list[str]], list[float]], count: int = 100, seed: int = 78
) -> dict:
    """How `align` (IMAGEs [n, H, W, 3], n prompts -> n scores) ranks texts.

    Returns the shares of scenes whose right subject is first of all subjects, and right place first
    of all places, and the mean scores of the right text, of those with another subject, and of
    those with another place.
    """
    rng = np.random.default_rng(seed)
    rows = []
    for subject, place in draw_pairs(count, rng):
        image_1HWC = as_image(draw_scene(rng, SUBJECTS[subject], PLACES[place]))
        texts = [prompt_of(s, PLACES[place]) for s in SUBJECTS]
        texts += [prompt_of(SUBJECTS[subject], p) for p in PLACES]
        scores = np.array(align(image_1HWC.expand(len(texts), -1, -1, -1), texts))
        by_subject, by_place = np.split(scores, [len(SUBJECTS)])
        rows.append(
            {
                "subject_first": by_subject.argmax() == subject,
                "place_first": by_place.argmax() == place,
                "right": by_subject[subject],
                "wrong_subject": np.delete(by_subject, subject).mean(),
                "wrong_place": np.delete(by_place, place).mean(),
            }
        )
    return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}


def as_image(scene) -> torch.Tensor:
    """A scene as the host's IMAGE [1, H, W, 3]."""
    return torch.from_numpy(np.array(scene.image_HWC, np.float32))[None] / 255


def prompt_of(subject=None, place=None) -> str:
    """The plainest prompt of a subject, a place, or both."""
    who = f"{subject.nouns[0]} {subject.verbs[0]}" if subject else ""
    where = f"{place.phrases[0]}, {place.tails[0]}" if place else ""
    if subject is None:
        where = where.split(" ", 1)[1]  # "A meadow", not "In a meadow"
    return sentence(f"{who} {where}")
