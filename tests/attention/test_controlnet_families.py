"""ControlNet in the families that ComfyUI has some for, beside Flux.1 (test_beside.py)."""

import pytest
from tiny_controls import CONTROLLED, controlled

from coupled.attention import couple_conditioning, select_images
from coupled.sampling import couple
from coupled.schedules import constant, sin

from compare import relative_error

L_BG, LENGTHS = 5, (7, 3)
N = len(LENGTHS)
THETA = sin(center=0.8, k=0.8, reference_steps=2)


@pytest.mark.parametrize("tiny", CONTROLLED, ids=lambda tiny: tiny.name)
@pytest.mark.parametrize("mode", ["exact", "local"])
@pytest.mark.parametrize("rows", [1, N])
def test_a_controlnet_reads_the_background_and_its_hints_follow_their_images(
    tiny, model, mode, rows
):
    background, entities = tiny.texts(L_BG, LENGTHS)
    plain = couple_conditioning(background, entities)
    together = controlled(tiny, plain, rows)
    coupled = couple(model, THETA, mode)
    out = tiny.sample(coupled, together, steps=4)
    assert relative_error(out, tiny.sample(coupled, plain, steps=4)) > 1e-3
    one = tiny.sample(coupled, select_images(together, [0]), steps=4)
    assert relative_error(one, out[:1]) <= 1e-4
    if rows == 1 and mode == "exact":
        stock = tiny.sample(model, controlled(tiny, background, 1))
        shared = tiny.sample(couple(model, constant(0.0), mode), together)
        assert relative_error(shared, stock.expand_as(shared)) <= 2e-5
