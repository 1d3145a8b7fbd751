"""torch.compile on a coupled model of every family; backend and guards as in test_compile.py, where
the host's own node, with which coupled calls run uncompiled, is tried too.
"""

import pytest
import torch
from comfy_api.torch_helpers import set_torch_compile_wrapper
from tiny_families import FAMILIES
from torch._dynamo.utils import counters

from coupled.attention import couple_conditioning
from coupled.sampling import couple
from coupled.schedules import constant

from compare import relative_error

each_family = pytest.mark.parametrize("tiny", FAMILIES, ids=lambda tiny: tiny.name)


@pytest.fixture(autouse=True)
def fresh_compiler():
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


@pytest.mark.slow
@each_family
def test_compiled_it_gives_the_same(tiny):
    coupled = couple(tiny.model(), constant(0.4), "local")
    together = couple_conditioning(*tiny.texts(5, (7, 4)))
    expected = tiny.sample(coupled, together, steps=2)
    compiled = coupled.clone()
    set_torch_compile_wrapper(model=compiled, backend="eager")
    counters.clear()
    ours = [tiny.sample(compiled, together, steps=2) for _ in range(2)]
    assert counters["stats"]["unique_graphs"] > 0
    assert relative_error(ours[0], expected) <= 1e-4
    assert torch.equal(*ours)
