"""HunyuanImage 2.1: words in quotes are tokens of their own, and a refiner takes the mean of a
text.
"""

import dataclasses

import pytest
import torch
from comfy.ldm.hunyuan_video.model import HunyuanVideo
from tiny_families import HUNYUAN_IMAGE as TINY

from coupled.attention import couple_conditioning, select_images
from coupled.attention.families import architecture_of
from coupled.sampling import couple
from coupled.schedules import constant, sin

from compare import relative_error

N = 3
THETA = sin(center=0.8, k=0.8, reference_steps=2)


@pytest.fixture(scope="module")
def model():
    return TINY.model()


def text(tokens, seed, words):
    """A text with so many tokens of words in quotes, or none."""
    ((context, values),) = TINY.text(tokens, seed=2 * seed)
    if words:
        generator = torch.Generator().manual_seed(seed)
        values["conditioning_byt5small"] = torch.randn(1, words, TINY.quoted, generator=generator)
    return [[context, values]]


@pytest.mark.parametrize("words", [(0, 0, 0, 0), (4, 0, 0, 0), (0, 3, 0, 5), (2, 2, 2, 2)])
@pytest.mark.parametrize("theta", [1e-9, 1 - 1e-9, 0.0, 1.0])
def test_words_in_quotes_stay_with_their_text(model, words, theta):
    """Whichever of the texts has any."""
    background, *entities = (text(5 + i, i, n) for i, n in enumerate(words))
    out = TINY.sample(
        couple(model, constant(theta), "exact"), couple_conditioning(background, entities)
    )
    for i, entity in enumerate(entities):
        alone = TINY.sample(model, background if theta < 0.5 else entity)
        assert relative_error(out[i : i + 1], alone) <= 2e-5


def test_they_count(model):
    with_words, without = text(7, 1, 4), text(7, 1, 0)
    assert relative_error(TINY.sample(model, with_words), TINY.sample(model, without)) > 1e-2


@pytest.mark.parametrize("mode", ["exact", "local"])
def test_a_negative_with_words_in_quotes_is_the_stock_models(model, mode):
    """In mode local it runs with the plate's keys and values, image by image."""
    background, entities = text(5, 0, 2), [text(6, 1 + i, i) for i in range(N)]
    negative, seen = text(9, 9, 3), []
    together = couple_conditioning(background, entities)
    for regions in (None, torch.zeros(1, *TINY.latent[1:]) if mode == "local" else None):
        coupled = couple(model, THETA, mode, regions=regions)
        seen.append(TINY.sample(coupled, together, negative, cfg=3.0, steps=3))
        one = TINY.sample(coupled, select_images(together, [1]), negative, cfg=3.0, steps=3)
        assert relative_error(one, seen[-1][1:2]) <= 1e-4
    if mode == "local":  # nowhere to stand: the background alone
        plate = TINY.sample(model, background, negative, cfg=3.0, steps=3)
        assert relative_error(seen[1], plate.expand_as(seen[1])) <= 1e-4


def test_texts_of_unequal_lengths_need_no_mask_of_the_hosts(model):
    """The text encoder gives one of ones; the host knows no mask for a batch."""
    background, entities = text(5, 0, 0), [text(6 + i, 1 + i, i) for i in range(N)]
    for context, values in (*background, *(entity[0] for entity in entities)):
        values["attention_mask"] = torch.ones(1, context.shape[1]).long()
    together = couple_conditioning(background, entities)
    out = TINY.sample(couple(model, constant(1 - 1e-9), "exact"), together)
    for i, entity in enumerate(entities):
        assert relative_error(out[i : i + 1], TINY.sample(model, entity)) <= 2e-5


def test_hidden_tokens_are_refused(model):
    background, entities = text(5, 0, 0), [text(6 + i, 1 + i, 0) for i in range(N)]
    entities[1][0][1]["attention_mask"] = torch.tensor([[1, 1, 1, 1, 1, 0, 0]])
    with pytest.raises(ValueError, match="the text encoder hides no tokens"):
        TINY.sample(couple(model, THETA, "exact"), couple_conditioning(background, entities))


def test_the_given_texts_are_left_as_they_are(model):
    """The blocks write into the texts that they read."""
    background, entities = text(5, 0, 2), [text(6, 1 + i, 2) for i in range(N)]
    together = couple_conditioning(background, entities)
    before = together[0][0].clone()
    outs = [TINY.sample(couple(model, THETA, "exact"), together) for _ in range(2)]
    assert torch.equal(*outs) and torch.equal(together[0][0], before)


def test_video_models_of_the_same_class_are_refused():
    config = {**TINY.config, "patch_size": [1, 2, 2], "axes_dim": [4, 6, 6], "vec_in_dim": 16}
    video = dataclasses.replace(TINY, kind="HunyuanVideo", config=config)
    diffusion_model = video.model().model.diffusion_model
    assert type(diffusion_model) is HunyuanVideo
    with pytest.raises(ValueError, match=r"HunyuanVideo.*works with: Flux\.1"):
        architecture_of(diffusion_model)
