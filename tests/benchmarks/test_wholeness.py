"""Wholeness: how much of a subject's drawing a mask shows."""

import numpy as np
import pytest
import torch

from coupled.benchmarks.mini.wholeness import wholeness
from coupled.mini.world import PLACES, SUBJECTS, draw_scene


def drawn(i: int) -> torch.Tensor:
    scene = draw_scene(np.random.default_rng(i), SUBJECTS[i], PLACES[i % len(PLACES)])
    return torch.from_numpy(np.array(scene.mask_HW)).float() / 255


def cut(mask_HW: torch.Tensor, share: float) -> torch.Tensor:
    """The mask without its rightmost columns."""
    columns = (mask_HW > 0.5).any(0).nonzero()[:, 0]
    last = columns[round((len(columns) - 1) * (1 - share))]
    return mask_HW.where(torch.arange(mask_HW.shape[1]) <= last, 0.0)


@pytest.mark.parametrize("i", range(0, len(SUBJECTS), 4))
def test_a_drawn_subject_is_whole_wherever_and_however_large_it_stands(i):
    assert wholeness(drawn(i), SUBJECTS[i]) > 0.93


@pytest.mark.parametrize("i", range(0, len(SUBJECTS), 4))
def test_a_cut_subject_is_less_whole_the_more_is_cut(i):
    whole, some, much = (wholeness(cut(drawn(i), share), SUBJECTS[i]) for share in (0.0, 0.2, 0.4))
    assert whole - some > 0.05 and some - much > 0.03


def test_another_subject_is_not_whole_and_no_mask_is_nothing():
    flamingo, car = (next(s for s in SUBJECTS if s.name == name) for name in ("flamingo", "car"))
    i = SUBJECTS.index(flamingo)
    assert wholeness(drawn(i), car) < wholeness(drawn(i), flamingo) - 0.2
    assert wholeness(torch.zeros(256, 256), car) == 0


def test_a_mask_of_any_size_will_do():
    small = torch.nn.functional.avg_pool2d(drawn(6)[None], 2)[0]
    assert wholeness(small, SUBJECTS[6]) == pytest.approx(
        wholeness(drawn(6), SUBJECTS[6]), abs=0.03
    )
