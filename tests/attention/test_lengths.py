"""Entities of different numbers of tokens: each image is what it would be without the others."""

import pytest
import torch

from coupled.attention import couple_conditioning, kernels, select_images
from coupled.sampling import couple
from coupled.schedules import constant, sin

from compare import relative_error
from tiny import tiny_conditioning, tiny_flux, tiny_forward, tiny_latent, tiny_sample

LENGTHS = (7, 3, 11)


@pytest.fixture(scope="module")
def model():
    return tiny_flux()


@pytest.fixture(scope="module")
def background():
    return tiny_conditioning(5, seed=1)


@pytest.fixture(scope="module")
def entities():
    return [tiny_conditioning(n, seed=2 + n) for n in LENGTHS]


def test_shorter_entities_are_filled_up_and_hidden(background, entities):
    ((context, values),) = couple_conditioning(background, entities)
    assert context.shape == (3, 5 + 11, 32)
    padding = values["model_conds"]["coupled_entity_padding"].cond
    for i, n in enumerate(LENGTHS):
        assert torch.equal(context[i, 5 : 5 + n], entities[i][0][0][0])
        assert padding[i].tolist() == [0.0] * n + [float("-inf")] * (11 - n)


def test_equally_long_entities_need_no_mask(background, entities):
    ((_, values),) = couple_conditioning(background, [entities[0], entities[0]])
    assert "coupled_entity_padding" not in values["model_conds"]


@pytest.mark.parametrize("mode", ["local", "exact", "paper"])
@pytest.mark.parametrize("host_attention", [False, True])
def test_one_by_one_is_all_at_once(model, background, entities, mode, host_attention, monkeypatch):
    monkeypatch.setattr(kernels, "user_chose_attention", lambda: host_attention)
    coupled = couple(model, sin(1.5, 0.8, 4), mode)
    together = couple_conditioning(background, entities)
    images = tiny_sample(coupled, together)
    for i, entity in enumerate(entities):
        for alone in (couple_conditioning(background, [entity]), select_images(together, [i])):
            assert relative_error(tiny_sample(coupled, alone, batch=1), images[i : i + 1]) < 1e-4


@pytest.mark.parametrize("host_attention", [False, True])
def test_at_theta_1_each_image_is_the_stock_models_on_its_own_entity(
    model, background, entities, host_attention, monkeypatch
):
    monkeypatch.setattr(kernels, "user_chose_attention", lambda: host_attention)
    x = tiny_latent(3)
    together = couple_conditioning(background, entities)
    out = tiny_forward(couple(model, constant(1.0), "exact"), together, x, 1.0)
    for i, entity in enumerate(entities):
        assert relative_error(out[i : i + 1], tiny_forward(model, entity, x[:1], 1.0)) < 1e-5


def test_under_cfg_two_such_sets_share_a_call(model, background, entities):
    coupled = couple(model, constant(0.4), "exact")
    positive = couple_conditioning(background, entities)
    negative = couple_conditioning(tiny_conditioning(5, seed=80), entities[::-1])
    images = tiny_sample(coupled, positive, negative, cfg=2.0)
    for i in range(3):
        rows = select_images(positive, [i]), select_images(negative, [i])
        assert (
            relative_error(tiny_sample(coupled, *rows, batch=1, cfg=2.0), images[i : i + 1]) < 1e-4
        )
