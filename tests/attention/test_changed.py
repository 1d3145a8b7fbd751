"""Host nodes that change the texts of a coupled conditioning: told, or harmless."""

import pytest
import torch

import nodes
from coupled.attention import select_images
from coupled.sampling import couple
from coupled.schedules import constant, sin

from tiny import tiny_conditioning, tiny_coupled, tiny_flux, tiny_sample

N = 3
CHANGED = "Remove the node between Encode Coupled Prompts and the sampler"


@pytest.fixture(scope="module")
def model():
    return couple(tiny_flux(), sin(1.5, 0.8, 4))


def average(to, other, strength):
    return nodes.ConditioningAverage().addWeighted(to, other, strength)[0]


@pytest.mark.parametrize("strength", [0.99, 0.5, 0.0])
@pytest.mark.parametrize(
    "other", [tiny_conditioning(12, seed=50), tiny_conditioning(4), tiny_coupled(N, seed=60)]
)
def test_an_average_with_another_is_refused(model, other, strength):
    with pytest.raises(ValueError, match=CHANGED):
        tiny_sample(model, average(tiny_coupled(N), other, strength))


def test_a_multiple_is_refused(model):
    with pytest.raises(ValueError, match=CHANGED):
        tiny_sample(model, nodes.ConditioningMultiply().multiply(tiny_coupled(N), 1.1)[0])


def test_appended_tokens_are_refused(model):
    longer = nodes.ConditioningConcat().concat(tiny_coupled(1), tiny_conditioning(4))[0]
    with pytest.raises(ValueError, match=CHANGED):
        tiny_sample(model, longer, batch=1)


def test_a_change_is_seen_in_some_images_of_the_set_too(model):
    changed = average(tiny_coupled(N), tiny_conditioning(12, seed=50), 0.5)
    with pytest.raises(ValueError, match=CHANGED):
        tiny_sample(model, select_images(changed, [2, 1]), batch=2)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_what_leaves_the_texts_alone_passes(model, dtype):
    positive = tiny_coupled(N)
    same = average(positive, tiny_conditioning(12, seed=50), 1.0)
    expected = tiny_sample(model, positive)
    assert torch.equal(tiny_sample(model, same), expected)
    cast = [[context.to(dtype), values] for context, values in positive]
    assert tiny_sample(model, cast).isfinite().all()
    picked = select_images(positive, [2, 0])
    assert tiny_sample(model, picked, batch=2).isfinite().all()


def test_zeroed_out_it_is_an_empty_negative():
    """Both texts are zeros, and so are the entities' pooled vectors: a zeroed ordinary one."""
    model = tiny_flux()
    coupled, positive = couple(model, constant(0.5), "exact"), tiny_coupled(N, 6, 6)
    zeroed = nodes.ConditioningZeroOut().zero_out(positive)[0]
    ordinary = nodes.ConditioningZeroOut().zero_out(tiny_conditioning(6))[0]
    images = tiny_sample(coupled, positive, zeroed, cfg=2.0)
    expected = tiny_sample(coupled, positive, ordinary, cfg=2.0)
    assert (images - expected).abs().max() < 1e-4 * expected.abs().max()
