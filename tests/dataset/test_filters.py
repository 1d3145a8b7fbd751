"""Thresholds as data, the measures they stand on, and instructions."""

import json

import pytest
import torch

from coupled.dataset.filters import KEPT, PRESETS, REJECTED, Filters, Stage, read_filters
from coupled.dataset.instructions import edits
from coupled.dataset.measures import MEASURES, Embedded, measure

BOTH = Filters("both", (Stage("f_bg", min=-0.01), Stage("region_union", max=0.5)))
GOOD = {"f_bg": -0.001, "region_union": 0.4}


@pytest.mark.parametrize("name", [path.stem for path in PRESETS.glob("*.json")])
def test_presets_are_filters(name):
    assert all(stage.measure in MEASURES for stage in read_filters(name).stages)


@pytest.mark.parametrize(
    "change, reason",
    [
        ({"f_bg": -0.02}, "f_bg -0.02 is below -0.01"),
        ({"region_union": 0.6}, "region_union 0.6 is above 0.5"),
        ({"f_bg": None}, "f_bg has no number"),
    ],
)
def test_the_first_reason_is_given(change, reason):
    assert BOTH.judge(GOOD) == (KEPT, None)
    assert BOTH.judge(GOOD | change) == (REJECTED, reason)


def test_what_is_not_measured_passes():
    assert BOTH.judge({"f_bg": -0.001}) == (KEPT, None)


def test_survivors_count_down():
    sets = [GOOD, GOOD | {"f_bg": -1.0}, GOOD | {"region_union": 0.9}]
    assert [what for what, _ in BOTH.count_survivors([])] == [
        "made",
        "f_bg ≥ -0.01",
        "region_union ≤ 0.5",
    ]
    assert [left for _, left in BOTH.count_survivors(sets)] == [3, 2, 1]


@pytest.mark.parametrize(
    "content, words",
    [
        ("{", "holds no filters"),
        ("[]", "holds no filters"),
        ('{"stages": [{"measure": "beauty"}]}', "no measure 'beauty'"),
        ('{"stages": [{"measure": "f_bg", "least": 1}]}', "holds no filters"),
        ('{"stages": [{"measure": "f_bg", "min": "1"}]}', "must be numbers"),
        ('{"stages": [{"measure": "f_bg", "max": NaN}]}', "must be numbers"),
    ],
)
def test_bad_filters_are_refused(tmp_path, content, words):
    path = tmp_path / "a.json"
    path.write_text(content)
    with pytest.raises(ValueError, match=words):
        read_filters(str(path))


def test_missing_filters_name_the_presets():
    with pytest.raises(FileNotFoundError, match="coupled, none, ultraedit"):
        read_filters("nothing")


def test_measures_of_a_set_with_one_background():
    generator = torch.Generator().manual_seed(1)
    images = torch.rand(1, 64, 64, 3, generator=generator).repeat(2, 1, 1, 1)
    masks = torch.zeros(2, 64, 64)
    masks[0, :16], masks[1, 16:32] = 1, 1
    images[0, :16], images[1, 16:32] = 0, 1
    found = measure(images, masks, lost=[1])
    assert found["f_bg"] == 0 and found["psnr"] == 100 and found["ssim"] == pytest.approx(1)
    assert found["region_smallest"] == found["region_largest"] == 0.25
    assert found["region_union"] == 0.5 and found["told_apart"] == 0.5
    assert found["ssim_picture"] < 0.7
    assert "f_ti" not in found and json.dumps(found)


def test_clip_measures_are_the_worst_pair():
    images = torch.tensor([[1.0, 0, 0], [0, 1, 0], [0.6, 0.8, 0]])
    found = measure(torch.rand(3, 64, 64, 3), None, embedded=Embedded(images, images))
    assert found["f_ti"] == pytest.approx(100)
    assert found["clip_direction"] == found["own_prompt_best"] == pytest.approx(1)
    assert found["clip_image_similarity"] == 0
    swapped = measure(torch.rand(3, 64, 64, 3), None, embedded=Embedded(images, images[[1, 0, 2]]))
    assert swapped["own_prompt_best"] == pytest.approx(1 / 3, abs=1e-5)
    assert swapped["clip_direction"] == pytest.approx(-1)


def test_an_empty_mask_has_no_number():
    masks = torch.zeros(2, 64, 64)
    assert measure(torch.rand(2, 64, 64, 3), masks)["f_bg"] is None


def test_instructions_go_both_ways():
    found = [
        (one.kind, one.source, one.target, one.text) for one in edits(["a fox", "a cat"], True)
    ]
    assert ("replace", "image_0", "image_1", "replace a fox with a cat") in found
    assert ("replace", "image_1", "image_0", "replace a cat with a fox") in found
    assert ("insert", "plate", "image_1", "add a cat") in found
    assert ("remove", "image_0", "plate", "remove a fox") in found
    assert len(found) == 6 and len(edits(["a", "b"], False)) == 2


@pytest.mark.parametrize(
    "name, new",
    [
        ("the fox", "a fox"),
        ("the eagle", "an eagle"),
        ("the two dogs", "the two dogs"),
        ("a red car", "a red car"),
        ("theodore", "theodore"),
    ],
)
def test_what_is_not_there_yet_has_no_definite_article(name, new):
    assert edits(["the cat", name], True)[0].text == f"replace the cat with {new}"
