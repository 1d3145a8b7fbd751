"""What a schedule is in runs of few steps, in every family: its center is a share of the run, and
so one level of noise at any number of steps.
"""

import comfy.samplers
import pytest
import torch
from tiny_families import FAMILIES, FLUX1

from coupled.attention import couple_conditioning
from coupled.attention.stages import noise_share
from coupled.sampling import couple
from coupled.schedules import sin, step01

DEFAULT = sin(center=4, k=0.8, reference_steps=50)  # that of Theta Schedule
PAPER = sin(center=12, k=0.8, reference_steps=50)
N = 2
ALL = [FLUX1, *FAMILIES]
each_family = pytest.mark.parametrize("tiny", ALL, ids=lambda tiny: tiny.name)


def shared(schedule, steps):
    """How many steps the images have in common: theta is 0 there."""
    return schedule.values(steps).count(0.0)


@pytest.mark.parametrize(
    "schedule, expected",
    [(DEFAULT, {4: 1, 8: 1, 20: 1, 50: 3}), (PAPER, {4: 1, 8: 2, 20: 5, 50: 11})],
)
def test_some_steps_are_shared_and_some_are_the_entitys_at_any_number(schedule, expected):
    """The least is one step, which is a quarter of a run of 4."""
    for steps, count in expected.items():
        assert shared(schedule, steps) == count
        assert schedule.values(steps)[-1] == 1


@pytest.mark.slow
@each_family
@pytest.mark.parametrize("steps", [4, 8, 20])
@pytest.mark.parametrize("mode", ["exact", "local"])
def test_the_images_are_one_while_theta_is_0_and_part_then(tiny, model, steps, mode):
    together, seen = couple_conditioning(*tiny.texts(5, (7, 4))), []
    for schedule in (DEFAULT, PAPER):
        seen.clear()
        tiny.sample(
            couple(model, schedule, mode),
            together,
            steps=steps,
            callback=lambda step, x0, x, total: seen.append(x0),
        )
        alike = [bool(torch.equal(x0[0], x0[1])) for x0 in seen]
        assert alike == [t < shared(schedule, steps) for t in range(steps)]


@each_family
def test_the_center_is_one_level_of_noise_at_any_number_of_steps(tiny, model):
    """Of the scheduler simple: of neighboring steps the one has more noise than at the center in a
    run of 1000 steps, the other less or as much.
    """
    sampling = model.get_model_object("model_sampling")

    def noise(steps):
        sigmas = comfy.samplers.calculate_sigmas(sampling, "simple", steps).tolist()
        return [noise_share(sampling, sigma) for sigma in sigmas]

    for center in (4, 12):
        schedule = step01(center=center, reference_steps=50)
        level = noise(1000)[center * 20]
        for steps in (4, 8, 20, 50):
            levels = noise(steps)
            first = schedule.values(steps).index(1)
            assert levels[first - 1] > level - 2e-3 and levels[first] < level + 2e-3
