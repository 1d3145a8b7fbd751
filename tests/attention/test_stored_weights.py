"""Models whose weights are stored in fewer bits: fp8, as the host casts them, and whole numbers
with a scale, as loaders of GGUF files keep them in operations of their own.
"""

import comfy.ops
import pytest
import torch
from tiny_families import FAMILIES, FLUX1

from coupled.attention import couple_conditioning
from coupled.sampling import couple
from coupled.schedules import constant, sin

from compare import relative_error

LENGTHS = (7, 3)
THETA = sin(center=0.8, k=0.8, reference_steps=2)


class WholeNumbers(comfy.ops.manual_cast):
    class Linear(comfy.ops.manual_cast.Linear):
        def forward(self, x):
            if not hasattr(self, "numbers"):
                self.scale = self.weight.abs().amax(1, keepdim=True) / 127
                self.numbers = (self.weight / self.scale).round().to(torch.int8)
            weight = self.numbers.to(x.dtype) * self.scale.to(x.dtype)
            return torch.nn.functional.linear(x, weight, self.bias)


@pytest.mark.parametrize("tiny", (FLUX1, *FAMILIES), ids=lambda tiny: tiny.name)
@pytest.mark.parametrize("kind", ["fp8", "whole numbers"])
def test_it_is_coupled_as_any_other(tiny, kind):
    stored = {
        "fp8": {"dtype": torch.float8_e4m3fn},
        "whole numbers": {"operations": WholeNumbers},
    }
    model = tiny.model(**stored[kind])
    background, entities = tiny.texts(5, LENGTHS)
    conditioning = couple_conditioning(background, entities)
    alone = tiny.sample(model, background)
    assert relative_error(alone, tiny.sample(tiny.model(), background)) > 1e-4
    shared = tiny.sample(couple(model, constant(0.0), "exact"), conditioning)
    assert relative_error(shared, alone.expand_as(shared)) <= 2e-5
    images = tiny.sample(couple(model, THETA, "local"), conditioning, steps=4)
    assert images.isfinite().all() and relative_error(images[0], images[1]) > 1e-3
