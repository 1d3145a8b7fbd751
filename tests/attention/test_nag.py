"""The host's Normalized Attention Guidance on a coupled set with an ordinary negative."""

import pytest
import torch
from comfy_extras.nodes_nag import NAGuidance

from coupled.attention import couple_conditioning
from coupled.attention.nag import couple_negative
from coupled.sampling import couple
from coupled.schedules import constant, sin

from compare import relative_error
from tiny import (
    tiny_conditioning,
    tiny_coupled,
    tiny_flux,
    tiny_forward,
    tiny_latent,
    tiny_sample,
)

TOKENS, N = 6, 3
THETA = sin(1.5, 0.8, 4)


@pytest.fixture(scope="module")
def model():
    return tiny_flux()


@pytest.fixture(scope="module")
def negative():
    return tiny_conditioning(TOKENS, seed=90)


def guided(model):
    return NAGuidance.execute(model, nag_scale=5.0, nag_alpha=0.5, nag_tau=2.5).result[0]


def test_it_is_the_stock_models_where_one_text_counts(model, negative):
    background = tiny_conditioning(TOKENS, seed=1)
    entities = [tiny_conditioning(TOKENS, seed=2 + i) for i in range(N)]
    coupled = couple_conditioning(background, entities)
    images = tiny_sample(guided(couple(model, constant(1.0), "exact")), coupled, negative)
    for i, entity in enumerate(entities):
        alone = tiny_sample(guided(model), entity, negative, batch=1)
        assert relative_error(images[i : i + 1], alone) < 1e-4
        assert relative_error(alone, tiny_sample(model, entity, negative, batch=1)) > 0.05
    image = tiny_sample(guided(couple(model, constant(0.0), "local")), coupled, negative)[:1]
    assert relative_error(image, tiny_sample(guided(model), background, negative, batch=1)) < 1e-4


@pytest.mark.parametrize("mode", ["local", "exact", "paper"])
def test_it_does_something_between(model, negative, mode):
    coupled, positive = couple(model, THETA, mode), tiny_coupled(N, TOKENS, TOKENS)
    plain = tiny_sample(coupled, positive, negative)
    assert relative_error(tiny_sample(guided(coupled), positive, negative), plain) > 0.05


@pytest.mark.parametrize("theta", [0.0, 0.3, 1.0])
def test_a_negative_as_a_set_is_the_negative(model, negative, theta):
    ((text, values),) = negative
    cond = couple_negative({**values, "cross_attn": text, "model_conds": {}})
    x = tiny_latent(1)
    out = tiny_forward(couple(model, constant(theta), "exact"), [[cond["cross_attn"], cond]], x, 1)
    assert relative_error(out, tiny_forward(model, negative, x, 1)) < 1e-5


def test_an_ordinary_run_is_left_as_it_is(model, negative):
    positive = tiny_conditioning(TOKENS, seed=3)
    expected = tiny_sample(guided(model), positive, negative)
    assert torch.equal(tiny_sample(guided(couple(model, THETA)), positive, negative), expected)


@pytest.mark.parametrize(
    "tokens, cfg", [((TOKENS, TOKENS + 1), 1.0), ((TOKENS + 1, TOKENS), 1.0), ((TOKENS,) * 2, 2.0)]
)
def test_where_it_would_do_nothing_is_an_error(model, negative, tokens, cfg):
    positive = tiny_coupled(N, *tokens)
    with pytest.raises(ValueError, match="remove Normalized Attention Guidance"):
        tiny_sample(guided(couple(model, THETA)), positive, negative, cfg=cfg)


def test_without_a_negative_is_an_error(model):
    from coupled.sampling import sample_set

    with pytest.raises(ValueError, match="Connect a negative from CLIP Text Encode"):
        sample_set(
            guided(couple(model, THETA)),
            tiny_coupled(N, TOKENS, TOKENS),
            {"samples": torch.zeros(1, 16, 8, 12)},
            seed=7,
            steps=2,
            cfg=1.0,
            sampler_name="euler",
            scheduler="simple",
        )
