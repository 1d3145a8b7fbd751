"""The cards of the template browser: each has pictures of its own, and keeps them when its map
changes.
"""

import itertools
import json

import numpy as np
import pytest
from PIL import Image

from coupled.devtools import cards

FILES = sorted(cards.WORKFLOWS.glob("*.json"))


def pixels(picture: Image.Image) -> np.ndarray:
    side = (cards.FRAME, cards.FRAME)
    return np.asarray(picture.convert("RGB").resize(side), dtype=float)


def differ(one: Image.Image, other: Image.Image) -> float:
    """The mean difference of two pictures, of 255."""
    return float(np.abs(pixels(one) - pixels(other)).mean())


def read(card) -> list[Image.Image]:
    frames = cards.read_frames(card)
    assert frames is not None, f"{card.name} is missing"
    return frames


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_card_shows_pictures_and_not_a_drawing(file):
    with Image.open(file.with_suffix(".jpg")) as card:
        assert card.size == (cards.SIZE, cards.SIZE)
    for frame, drawn in itertools.product(read(file.with_suffix(".jpg")), ("ball", "tent")):
        assert differ(frame, cards.landscape(drawn)) > 20


def test_no_two_cards_show_the_same_pictures():
    shown = {file.stem: read(file.with_suffix(".jpg")) for file in FILES}
    same = [
        (a, b)
        for a, b in itertools.combinations(shown, 2)
        if all(differ(x, y) < 5 for x, y in zip(shown[a], shown[b], strict=True))
    ]
    assert same == []


def test_a_card_that_is_drawn_again_keeps_its_pictures(tmp_path):
    workflow = json.loads(FILES[0].read_text(encoding="utf-8"))
    frames = [cards.landscape("tent"), Image.new("RGB", (64, 64), "orange")]
    card = tmp_path / "card.jpg"
    cards.draw_card(workflow, frames).save(card, quality=cards.QUALITY)
    again = cards.draw_card(workflow, read(card))
    again.save(card, quality=cards.QUALITY)
    assert max(differ(a, b) for a, b in zip(read(card), frames, strict=True)) < 3
    assert differ(*read(card)) > 5  # else the comparison would say nothing


@pytest.mark.needs_host("0.24", "the node Remove Background, in one of the workflows")
def test_the_mini_model_paints_sets_of_their_own(host_server):
    sets = cards.choose_sets(host_server.client)
    assert set(sets) == set(FILES) and len(set(sets.values())) == len(FILES)
    frames = cards.paint_frames(host_server.client, *sets[cards.PAINTER])
    assert len(frames) == 2 and differ(*frames) > 1
