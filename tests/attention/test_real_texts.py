"""Each family with the texts of its own text encoder: tokenizer, template, padding and masks are
the host's.
"""

import pytest
from tiny_clips import ENCODERS

from coupled.attention import select_images
from coupled.attention.encoding import encode_set
from coupled.sampling import couple
from coupled.schedules import constant

from compare import relative_error

BACKGROUND = "A vibrant meadow under a clear blue sky"
ENTITIES = [
    'An eagle carries a flag with the word "hello"',
    "A red fox runs through the grass, " * 30,
    "A cat.",
]
each = pytest.mark.parametrize("encoder", ENCODERS, ids=lambda encoder: encoder.tiny.name)


@pytest.mark.slow
@each
def test_at_its_ends_each_image_is_the_stock_models_on_that_text_alone(encoder):
    clip, model = encoder.clip(), encoder.model_of_family()
    together = encode_set(clip, BACKGROUND, ENTITIES)
    texts = [clip.encode_from_tokens_scheduled(clip.tokenize(text)) for text in ENTITIES]
    background = clip.encode_from_tokens_scheduled(clip.tokenize(BACKGROUND))
    for theta in (0.0, 1e-9, 1 - 1e-9, 1.0):
        out = encoder.tiny.sample(couple(model, constant(theta), "exact"), together)
        for i, text in enumerate(texts):
            alone = encoder.tiny.sample(model, background if theta < 0.5 else text)
            assert relative_error(out[i : i + 1], alone) <= 5e-5
    assert relative_error(out[:1], out[1:2]) > 1e-3
    between = encoder.tiny.sample(couple(model, constant(0.5), "local"), together, steps=4)
    one = encoder.tiny.sample(
        couple(model, constant(0.5), "local"), select_images(together, [1]), steps=4
    )
    assert relative_error(one, between[1:2]) <= 1e-4
