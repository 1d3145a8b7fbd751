"""Decode Coupled Set, and First and Last Frame."""

import pytest
import torch
from comfy_execution.graph_utils import ExecutionBlocker

from coupled.mini.model import mini_vae
from coupled.nodes.images import NODES, CoupledDecode, CoupledPair

IMAGES = torch.arange(4.0).reshape(4, 1, 1, 1).expand(4, 2, 3, 3)


@pytest.mark.parametrize(
    "first, last, expected", [(0, -1, (0, 3)), (1, 2, (1, 2)), (-4, 3, (0, 3)), (2, 2, (2, 2))]
)
def test_the_chosen_images(first, last, expected):
    result = CoupledPair.execute(IMAGES, first, last).result
    assert [tuple(image.shape) for image in result] == [(1, 2, 3, 3)] * 2
    assert tuple(image[0, 0, 0, 0].item() for image in result) == expected


def test_the_ends_of_a_set_are_the_default():
    first, last = CoupledPair.execute(IMAGES).result
    assert torch.equal(first, IMAGES[:1]) and torch.equal(last, IMAGES[3:])
    only_one = CoupledPair.execute(IMAGES[:1]).result
    assert torch.equal(only_one[0], only_one[1])


@pytest.mark.parametrize(
    "first, last, words",
    [
        (4, 0, "^Choose -4 to 3 for first: it is 4, but there are 4 images"),
        (-5, 0, "for first: it is -5"),
        (0, 4, "for last: it is 4"),
    ],
)
def test_an_image_that_is_not_there(first, last, words):
    with pytest.raises(ValueError, match=words):
        CoupledPair.execute(IMAGES, first, last)


def test_one_image_is_counted_as_one():
    with pytest.raises(ValueError, match="there is 1 image"):
        CoupledPair.execute(IMAGES[:1], 1)


def test_the_pair_is_shown_side_by_side():
    shown = CoupledPair.execute(IMAGES, 1, 2).ui
    assert len(shown["images"]) == 2 and "text" not in shown


def test_with_masks_the_pair_has_the_number_of_its_backgrounds():
    images = torch.zeros(4, 16, 16, 3)
    images[3, :, 8:] = 0.5  # the right half of the last image differs
    masks = torch.zeros(4, 16, 16)
    masks[:, :, :8] = 1
    (text,) = CoupledPair.execute(images, 0, -1, masks).ui["text"]
    assert text.startswith("f_bg -2.500e-01, R 0.500")
    (text,) = CoupledPair.execute(images, 0, 1, masks[:1]).ui["text"]  # one mask for all
    assert text.startswith("f_bg 0.000e+00, R 0.500")
    (text,) = CoupledPair.execute(images, 0, 1, torch.zeros(4, 16, 16)).ui["text"]
    assert text.startswith("The mask of image 1, 2 is empty")


def test_masks_of_another_number_are_refused():
    with pytest.raises(
        ValueError, match="^Give entity_masks one mask for each image.*there are 4 images"
    ):
        CoupledPair.execute(IMAGES, 0, 1, torch.ones(3, 2, 3))


def test_the_schema_keeps_the_contract():
    schema = CoupledPair.GET_SCHEMA()
    assert (
        NODES == [CoupledDecode, CoupledPair]
        and schema.node_id == "CoupledPair"
        and schema.display_name == "First and Last Frame"
    )
    assert [(i.id, i.io_type, getattr(i, "default", None)) for i in schema.inputs] == [
        ("images", "IMAGE", None),
        ("first", "INT", 0),
        ("last", "INT", -1),
        ("entity_masks", "MASK", None),
    ]
    assert [(o.display_name, o.io_type) for o in schema.outputs] == [
        ("first", "IMAGE"),
        ("last", "IMAGE"),
    ]


def test_decoding_without_a_plate_stops_only_those_who_ask_for_it():
    latent = {"samples": torch.zeros(2, 16, 4, 4)}
    images, plate, masks = CoupledDecode.execute(latent, mini_vae()).result
    assert images.shape == (2, 32, 32, 3)
    for missing, name in ((plate, "plate"), (masks, "entity_masks")):
        assert isinstance(missing, ExecutionBlocker) and f"Connect {name} of" in missing.message


def test_decoding_hands_plate_and_masks_on():
    latent, plate = ({"samples": torch.rand(n, 16, 4, 4)} for n in (2, 1))
    given = torch.ones(2, 32, 32)
    images, plate_image, masks = CoupledDecode.execute(latent, mini_vae(), plate, given).result
    assert plate_image.shape == (1, 32, 32, 3) and masks is given
