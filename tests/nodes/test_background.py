"""Background Similarity and Combined Score, executed through their classes."""

import math

import folder_paths
import pytest
import torch

from coupled.metrics.background import background_similarity
from coupled.nodes.background import NODES, CoupledBackgroundSimilarity, CoupledScore

IMAGES = torch.rand(2, 32, 48, 3, generator=torch.Generator().manual_seed(0))
MASKS = torch.zeros(2, 32, 48)
MASKS[0, 10:20, 10:20] = MASKS[1, 12:24, 14:22] = 1


@pytest.fixture(autouse=True)
def folders(tmp_path, monkeypatch):
    monkeypatch.setattr(folder_paths, "temp_directory", str(tmp_path))


def test_outputs_of_background_similarity():
    output = CoupledBackgroundSimilarity.execute(IMAGES, MASKS)
    f_bg, ratio, region_1HW, difference_1HWC = output.result
    expected = background_similarity(IMAGES, MASKS)
    assert (f_bg, ratio) == (expected.f_bg, expected.validity_ratio)
    assert torch.equal(region_1HW, MASKS.amax(0, keepdim=True))
    assert difference_1HWC.shape == (1, 32, 48, 3)
    assert len(output.ui["images"]) == 1
    (text,) = output.ui["text"]
    assert (
        f"f_bg {f_bg:.3e}" in text
        and "PSNR" in text
        and "SSIM" in text
        and f"R {ratio:.3f}" in text
    )


def test_a_set_without_a_number_shows_why():
    output = CoupledBackgroundSimilarity.execute(IMAGES, 0 * MASKS)
    assert (
        math.isnan(output.result[0])
        and "empty" in output.ui["text"][0]
        and "PSNR" not in output.ui["text"][0]
    )


def test_a_region_of_several_masks_counts_as_their_union():
    regions = torch.zeros(3, 32, 48)
    regions[0, :4] = regions[2, :, :6] = 1
    region = CoupledBackgroundSimilarity.execute(IMAGES, MASKS, regions).result[2]
    assert torch.equal(region, regions.amax(0, keepdim=True))
    assert torch.equal(
        CoupledBackgroundSimilarity.execute(IMAGES, MASKS, regions[0]).result[2], regions[:1]
    )


def test_a_region_that_is_no_number_is_refused():
    with pytest.raises(ValueError, match="region contains NaN"):
        CoupledBackgroundSimilarity.execute(IMAGES, MASKS, torch.full_like(MASKS[:1], math.nan))


@pytest.mark.parametrize(
    "weights, expected", [("stated", 300 * -2e-4 + 22 / 30), ("tabulated", -0.07 + 1.1 + 0.5)]
)
def test_the_score_of_a_preset_and_its_report(weights, expected):
    score, text = CoupledScore.execute(-2e-4, 22.0, weights).result
    assert score == pytest.approx(expected) and text.startswith(f"score {expected:.4f} = ")


def test_custom_weights():
    score, text = CoupledScore.execute(-0.5, 20.0, "custom", 2.0, 0.25).result
    assert score == 4 and "2 · f_bg + 0.25 · f_ti" in text
    assert CoupledScore.execute(-0.5, 20.0, "stated", 2.0, 0.25).result[0] == pytest.approx(
        -150 + 20 / 30
    )


@pytest.mark.parametrize("weight", [math.nan, math.inf])
def test_weights_that_are_no_numbers_are_refused(weight):
    with pytest.raises(ValueError, match="weights of a score"):
        CoupledScore.execute(-0.5, 20.0, "custom", weight, 0.25)


@pytest.mark.parametrize(
    "f_bg, f_ti, words",
    [
        (math.nan, 20.0, "f_bg is not a number"),
        (-0.1, math.nan, "f_ti is not"),
        (math.nan, math.nan, "f_bg and f_ti"),
    ],
)
def test_no_number_in_no_number_out(f_bg, f_ti, words):
    output = CoupledScore.execute(f_bg, f_ti)
    assert (
        math.isnan(output.result[0])
        and output.result[1].startswith("No score")
        and words in output.result[1]
    )
    assert output.ui["text"] == (output.result[1],)


@pytest.mark.parametrize("node", NODES)
def test_schemas_are_whole(node):
    schema = node.GET_SCHEMA()
    assert schema.node_id == node.__name__ and schema.category == "coupled/measure"
    assert schema.description and schema.search_aliases
    assert all(i.tooltip for i in schema.inputs) and all(
        o.display_name and o.tooltip for o in schema.outputs
    )


def test_the_schemas_keep_the_contract():
    similarity, score = (node.GET_SCHEMA() for node in NODES)
    assert [(i.id, i.io_type, i.optional) for i in similarity.inputs] == [
        ("images", "IMAGE", False),
        ("entity_masks", "MASK", False),
        ("region", "MASK", True),
    ]
    assert [(o.display_name, o.io_type) for o in similarity.outputs] == [
        ("f_bg", "FLOAT"),
        ("validity_ratio", "FLOAT"),
        ("joint_region", "MASK"),
        ("difference", "IMAGE"),
    ]
    assert [(i.id, i.io_type) for i in score.inputs if not i.optional] == [
        ("f_bg", "FLOAT"),
        ("f_ti", "FLOAT"),
        ("weights", "COMBO"),
    ]
    assert score.inputs[2].options == ["stated", "tabulated", "custom"]
    assert [(o.display_name, o.io_type) for o in score.outputs] == [
        ("score", "FLOAT"),
        ("report", "STRING"),
    ]
