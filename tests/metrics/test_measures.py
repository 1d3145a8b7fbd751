"""Background similarity, its heat map, the usual measures beside it, and the combined score."""

import math

import numpy as np
import pytest
import torch

from coupled.metrics.background import (
    BRIGHTEST,
    MIN_VISIBLE,
    background_similarity,
    color_by_ramp,
    heat_map,
)
from coupled.metrics.score import PRESETS, Weights, combined
from coupled.metrics.visible import TRUNK, lpips, lpips_model, psnr, ssim

N, H, W = 3, 24, 32


@pytest.fixture
def scene():
    """Three random images and masks of an entity that moves; the masks' union leaves most of the
    picture.
    """
    generator = torch.Generator().manual_seed(0)
    images_NHWC = torch.rand(N, H, W, 3, generator=generator)
    masks_NHW = torch.zeros(N, H, W)
    for i in range(N):
        masks_NHW[i, 8:16, 4 * i : 4 * i + 8] = 1
    return images_NHWC, masks_NHW


def literal(images_NHWC, masks_NHW):
    """Eq. 13-15 by loops, with the mean over 3·W·H·R elements, in numpy."""
    images, masks = images_NHWC.double().numpy(), masks_NHW.numpy() >= 0.5
    n, height, width, _ = images.shape
    jer = np.zeros((height, width), bool)
    for mask in masks:
        jer |= mask
    ratio, total = 1 - jer.sum() / (width * height), 0.0
    for k in range(n):
        for j in range(k):
            total += ((images[j] * ~jer[..., None] - images[k] * ~jer[..., None]) ** 2).sum()
    return -2 / (n * (n - 1) * ratio) * total / (3 * width * height), ratio, jer


@pytest.mark.parametrize("n", [2, 3])
def test_it_is_the_papers_formula(scene, n):
    images, masks = (t[:n] for t in scene)
    expected, ratio, jer = literal(images, masks)
    found = background_similarity(images, masks)
    assert found.f_bg == pytest.approx(
        expected, rel=1e-6
    ) and found.validity_ratio == pytest.approx(ratio)
    assert np.array_equal(found.joint_region_HW.numpy(), jer) and found.reason is None


def test_only_the_visible_background_counts(scene):
    images, masks = scene
    region = masks.bool().any(0)
    alike = torch.where(region[..., None], images, images[:1])
    found = background_similarity(alike, masks)
    assert found.f_bg == 0 and math.copysign(1, found.f_bg) == 1
    assert psnr(alike, found.joint_region_HW) == math.inf
    assert ssim(alike, found.joint_region_HW) == pytest.approx(1, abs=1e-4)
    spoiled = alike.clone()
    spoiled[1, 0, 0] += 0.5
    assert background_similarity(spoiled, masks).f_bg < 0


def test_size_of_a_known_difference(scene):
    images, masks = scene
    pair = torch.stack([torch.full((H, W, 3), 0.2), torch.full((H, W, 3), 0.3)])
    found = background_similarity(pair, masks[:2])
    assert found.f_bg == pytest.approx(-0.01, rel=1e-5)
    assert psnr(pair, found.joint_region_HW) == pytest.approx(20, abs=1e-3)


def test_a_given_region_takes_the_place_of_the_sets_own(scene):
    images, masks = scene
    region = torch.zeros(H, W)
    region[:12] = 1
    found = background_similarity(images, masks, region)
    expected = literal(images, region.expand(N, -1, -1))[0]
    assert found.f_bg == pytest.approx(expected, rel=1e-6) and found.validity_ratio == 0.5
    assert torch.equal(found.joint_region_HW, region.bool())
    assert math.isnan(
        background_similarity(images, 0 * masks, region).f_bg
    )  # the entity is missing all the same


def test_soft_masks_count_from_one_half(scene):
    images, masks = scene
    hard, soft = background_similarity(images, masks), background_similarity(images, 0.5 * masks)
    assert soft.f_bg == hard.f_bg and soft.validity_ratio == hard.validity_ratio
    assert "empty" in background_similarity(images, 0.49 * masks).reason


def test_an_empty_mask_gets_no_number(scene):
    images, masks = scene
    masks[1] = 0
    found = background_similarity(images, masks)
    assert (
        math.isnan(found.f_bg)
        and "mask of image 2 is empty" in found.reason
        and 0 < found.validity_ratio < 1
    )


def test_a_hidden_background_gets_no_number(scene):
    images, masks = scene
    masks[0] = 1
    masks[0, 0, : int(MIN_VISIBLE * H * W) - 8] = 0
    found = background_similarity(images, masks)
    assert (
        math.isnan(found.f_bg)
        and found.validity_ratio < MIN_VISIBLE
        and "too little background" in found.reason
    )
    masks[0, 1, :16] = 0
    assert background_similarity(images, masks).f_bg < 0


@pytest.mark.parametrize(
    "spoil, words",
    [
        (lambda i, m: (i[:1], m[:1]), "there is 1 image"),
        (lambda i, m: (i, m[:2]), "each image needs one mask"),
        (lambda i, m: (i, m[:1]), "each image needs one mask"),
        (
            lambda i, m: (i, m[:, 1:]),
            "Bring images and masks to one size: the images are 32 × 24 pixels, the masks 32 × 23",
        ),
        (lambda i, m: (i[..., :1], m), "must be RGB"),
        (lambda i, m: (i.index_fill(0, torch.tensor([2]), math.nan), m), "Image 3 contains NaN"),
        (lambda i, m: (i.index_fill(0, torch.tensor([0]), math.inf), m), "Image 1 contains NaN"),
        (lambda i, m: (i, m * math.nan), "mask contains NaN"),
    ],
)
def test_what_cannot_be_measured_is_said(scene, spoil, words):
    with pytest.raises(ValueError, match=words):
        background_similarity(*spoil(*scene))


def test_a_region_of_another_size_is_said(scene):
    with pytest.raises(ValueError, match="region"):
        background_similarity(*scene, torch.zeros(H, W + 1))


def test_the_heat_map_glows_where_the_backgrounds_differ(scene):
    _, masks = scene
    images = torch.full((2, H, W, 3), 0.5)
    images[1, :, W // 2 :] += BRIGHTEST / 4
    region = masks.bool().any(0)
    picture = heat_map(images, region)[0]
    light = picture.mean(-1)
    assert picture.shape == (H, W, 3) and picture.min() >= 0 and picture.max() <= 1
    assert light[:, W // 2 :][~region[:, W // 2 :]].min() > 3 * light[0, 0]
    left_out = picture[region]
    assert torch.equal(left_out[:, 0], left_out[:, 2])  # gray
    saturated = heat_map(torch.stack([torch.zeros(H, W, 3), torch.ones(H, W, 3)]), region)[0]
    assert torch.allclose(saturated[0, 0], color_by_ramp(torch.ones(1))[0], atol=1e-6)


def test_the_ramp_gets_lighter_all_the_way():
    light = color_by_ramp(torch.linspace(0, 1, 50)) @ torch.tensor([0.2126, 0.7152, 0.0722])
    assert (light.diff() > 0).all() and light[-1] > 0.95


def test_ssim_is_untouched_by_the_entities(scene):
    """A window that sees any of the joint region does not count."""
    images = torch.rand(2, 64, 64, 3, generator=torch.Generator().manual_seed(1))
    region = torch.zeros(64, 64, dtype=torch.bool)
    region[20:40, 20:40] = True
    plain, images[0, 20:40, 20:40] = ssim(images, region), 0
    assert ssim(images, region) == pytest.approx(plain, abs=1e-6) and plain < 0.5
    region[5:59, 5:59] = True
    assert math.isnan(ssim(images, region)) and not math.isnan(psnr(images, region))
    assert math.isnan(psnr(images, torch.ones(64, 64, dtype=torch.bool)))


def test_lpips_waits_for_its_weights(monkeypatch, tmp_path):
    pytest.importorskip("lpips")
    from torchvision.models import AlexNet_Weights

    assert AlexNet_Weights.DEFAULT.url.endswith(TRUNK)
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path))
    images = torch.rand(2, 96, 96, 3, generator=torch.Generator().manual_seed(2))
    region = torch.zeros(96, 96, dtype=torch.bool)
    region[32:64, 32:64] = True
    assert lpips(images, region) is None
    save_trunk(tmp_path / "checkpoints" / TRUNK)
    lpips_model.cache_clear()
    assert lpips(images, region) > 0.01
    alike = torch.where(region[..., None], images, images[:1])
    assert lpips(alike, region) == 0
    lpips_model.cache_clear()


def save_trunk(path):
    """The convolutions of an AlexNet with weights of small integers, by torchvision's names."""
    generator = torch.Generator().manual_seed(0)
    shapes = {
        0: (64, 3, 11, 11),
        3: (192, 64, 5, 5),
        6: (384, 192, 3, 3),
        8: (256, 384, 3, 3),
        10: (256, 256, 3, 3),
    }
    weights = {}
    for number, shape in shapes.items():
        scale = math.prod(shape[1:]) ** -0.5
        weights[f"features.{number}.weight"] = scale * torch.randn(shape, generator=generator)
        weights[f"features.{number}.bias"] = torch.zeros(shape[0])
    path.parent.mkdir()
    torch.save(weights, path)


@pytest.mark.parametrize(
    "f_bg_e4, f_ti, expected",
    [  # all cells of Tables 1-4 but the same seed of Table 2
        (-2.080, 22.61, 1.558),
        (-67.42, 18.75, -0.919),
        (-4.604, 18.14, 1.246),
        (-48.47, 19.59, -0.214),
        (-8.663, 17.31, 1.063),
        (-11.43, 15.36, 0.8636),
        (-50.5, 11.21, -0.7018),
        (-4.953, 21.72, 1.413),
        (-12.13, 20.47, 1.099),
        (-5.585, 19.81, 1.296),
        (-30.79, 16.59, 0.253),
        (-4.55, 19.05, 1.293),
        (-4.953, 21.72, 1.413),
        (-4.263, 22.22, 1.462),
    ],
)
def test_the_tabulated_weights_give_the_papers_tables(f_bg_e4, f_ti, expected):
    assert combined(f_bg_e4 * 1e-4, f_ti, "tabulated") == pytest.approx(expected, abs=6e-3)


def test_the_stated_weights():
    assert combined(-2.08e-4, 22.61, "stated") == pytest.approx(300 * -2.08e-4 + 22.61 / 30)
    assert set(PRESETS) == {"stated", "tabulated"} and combined(
        -0.1, 5, Weights(2, 3, 4)
    ) == pytest.approx(18.8)


def test_no_number_stays_no_number():
    assert math.isnan(combined(math.nan, 20, "stated")) and math.isnan(
        combined(-0.1, math.nan, "tabulated")
    )


@pytest.mark.parametrize(
    "arguments, words",
    [
        ((0.1, 20, "stated"), "never above 0"),
        ((-0.1, 20, "mine"), "choose one of stated, tabulated"),
        ((-math.inf, 20, "stated"), "finite"),
        ((-0.1, math.inf, "stated"), "finite"),
    ],
)
def test_scores_that_make_no_sense_are_refused(arguments, words):
    with pytest.raises(ValueError, match=words):
        combined(*arguments)
