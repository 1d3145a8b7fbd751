"""Mini SAM: its classes, its training step, and how well the recipe finds subjects with it."""

import numpy as np
import pytest
import torch

from coupled.benchmarks.mini.drawn import held_out_iou
from coupled.metrics.segment import Segmenter, segment_entities
from coupled.mini import model as mini_model
from coupled.mini.paths import WEIGHTS
from coupled.mini.sam import build_mini_sam, load_mini_sam
from coupled.mini.size import SIZE
from coupled.mini.training.augment import roughen
from coupled.mini.training.dataset import SceneArrays
from coupled.mini.training.loop import Budget
from coupled.mini.training.train_sam import (
    draw_boxes,
    draw_points,
    iou_of,
    move,
    predictions,
    sam_loss,
    train_sam,
)
from coupled.mini.world import PLACES, SUBJECTS, draw_scene

trained = pytest.mark.skipif(
    not (WEIGHTS / "sam.safetensors").is_file(), reason="Mini SAM is not trained yet"
)


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    """Six scenes, every third without a subject."""
    arrays = SceneArrays(tmp_path_factory.mktemp("scenes"), 6)
    for i in range(6):
        subject = None if i % 3 == 2 else SUBJECTS[3 * i]
        scene = draw_scene(np.random.default_rng(i), subject, PLACES[i])
        arrays.images_NHWC[i], arrays.masks_NHW[i] = scene.image_HWC, scene.mask_HW
    return arrays


@pytest.fixture
def batch(scenes):
    images = torch.from_numpy(np.array(scenes.images_NHWC)).permute(0, 3, 1, 2).float() / 255
    return images, torch.from_numpy(np.array(scenes.masks_NHW))[:, None].float() / 255


def test_it_is_the_package_s_own_class_and_small():
    from segment_anything.modeling import Sam

    sam = build_mini_sam()
    assert type(sam) is Sam
    assert 2 * sum(p.numel() for p in sam.state_dict().values()) < 6e6


def test_missing_weights_are_named(monkeypatch, tmp_path):
    monkeypatch.setattr(mini_model, "WEIGHTS", tmp_path)
    with pytest.raises(FileNotFoundError, match="sam.safetensors"):
        load_mini_sam()


def test_points_lie_where_they_should(batch):
    _, masks = batch
    points, hits = draw_points(masks, (3, 2))
    x, y = points.long().unbind(-1)
    under = masks[torch.arange(6)[:, None], 0, y, x]
    has_subject = torch.tensor([True, True, False] * 2)
    assert torch.equal(hits[:, :3], has_subject[:, None].expand(6, 3)) and not hits[:, 3:].any()
    assert (under[hits] > 0.5).all() and (under[~hits] < 0.1).all()


def test_boxes_hold_the_subject(batch):
    _, masks = batch
    torch.manual_seed(1)
    for drawn, mask in zip(draw_boxes(masks), masks[:, 0] > 0.5, strict=True):
        assert (drawn[:2] <= drawn[2:]).all()
        if mask.any():
            ys, xs = mask.nonzero(as_tuple=True)
            truth = torch.stack([xs.min(), ys.min(), xs.max(), ys.max()])
            assert (drawn - truth).abs().max() < 9


def test_picture_and_mask_move_together(batch):
    _, masks = batch
    torch.manual_seed(2)
    images, seen = move(masks.expand(-1, 3, -1, -1), masks)
    assert torch.allclose(images[:, :1][seen > 0], seen[seen > 0]) and not torch.equal(seen, masks)
    assert seen[2].max() == 0


def test_roughening_keeps_the_picture_recognisable(batch):
    images, _ = batch
    torch.manual_seed(3)
    other = roughen(images)
    assert other.shape == images.shape and 0 <= other.min() and other.max() <= 1
    assert 0 < (other - images).abs().mean() < 0.15


def test_many_pictures_at_once_are_the_same_as_one_by_one(batch):
    images, _ = batch
    sam, points, boxes = (
        build_mini_sam().eval(),
        torch.rand(6, 3, 2) * SIZE,
        torch.rand(6, 4).sort().values * SIZE,
    )
    with torch.no_grad():
        logits, iou = predictions(sam, images, points, boxes)
    segmenter = Segmenter(sam)
    with torch.inference_mode():
        for i in range(2):
            embedding = segmenter.embed(images[i].permute(1, 2, 0))
            by_point, its_iou = segmenter.decode(embedding, points_P2=points[i])
            by_box, _ = segmenter.decode(embedding, boxes_P4=boxes[i : i + 1])
            assert torch.allclose(logits[i, :3], by_point[:, 0], atol=1e-4)
            assert torch.allclose(logits[i, 3], by_box[0, 0], atol=1e-4)
            assert torch.allclose(iou[i, :3], its_iou[:, 0], atol=1e-4)


def test_iou_of_masks():
    a, b = torch.zeros(2, 4, 4, dtype=torch.bool), torch.zeros(2, 4, 4, dtype=torch.bool)
    a[0, :2], b[0, 1:3] = True, True
    assert iou_of(a, b).tolist() == pytest.approx([1 / 3, 0])


def test_a_few_steps_lower_the_loss(batch):
    images, masks = batch
    torch.manual_seed(0)
    sam = build_mini_sam()
    optimizer, losses = torch.optim.AdamW(sam.parameters(), lr=1e-3), []
    for _ in range(8):
        loss, _ = sam_loss(sam, images, masks)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert all(p.grad is not None for p in sam.mask_decoder.transformer.parameters())
    assert losses[-1] < 0.9 * losses[0]


def test_training_writes_weights_and_goes_on_from_them(scenes, tmp_path):
    path = tmp_path / "sam.pt"
    first = train_sam(scenes, path, Budget(steps=3), batch=2)
    assert torch.load(path, weights_only=True).keys() == first.state_dict().keys()
    again = train_sam(scenes, path, Budget(steps=0), batch=2)
    assert all(
        torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True)
    )


def test_held_out_iou_judges_a_perfect_and_a_blind_segmenter():
    blind = held_out_iou(lambda images: torch.zeros(images.shape[:3]), 4)
    assert blind == {"iou": 0, "worst": 0, "found": 0, "left_empty": 1}
    everything = held_out_iou(lambda images: torch.ones(images.shape[:3]), 4)
    assert (
        0 < everything["iou"] < 0.4 and everything["found"] == 1 and everything["left_empty"] == 0
    )


@trained
def test_it_finds_the_subjects_of_scenes_it_never_saw():
    segmenter = load_mini_sam()
    result = held_out_iou(lambda images: segment_entities(segmenter, images), 24)
    assert result["iou"] > 0.86 and result["found"] == 1 and result["left_empty"] >= 0.8, result


@trained
def test_it_finds_them_under_soft_edges_and_noise_and_in_larger_pictures():
    segmenter, rng = load_mini_sam(), np.random.default_rng(5)
    torch.manual_seed(5)
    scenes = [draw_scene(rng, SUBJECTS[i], PLACES[i % len(PLACES)]) for i in range(0, 16, 2)]
    images = (
        torch.from_numpy(np.stack([s.image_HWC for s in scenes])).permute(0, 3, 1, 2).float() / 255
    )
    truth = torch.from_numpy(np.stack([s.mask_HW for s in scenes])) > 127
    larger = torch.nn.functional.interpolate(images, scale_factor=2.0, mode="bicubic").clamp(0, 1)
    for seen in (roughen(images), larger):
        masks = segment_entities(segmenter, seen.permute(0, 2, 3, 1))
        masks = torch.nn.functional.interpolate(masks[:, None], SIZE, mode="area")[:, 0] > 0.5
        assert iou_of(masks, truth).mean() > 0.82
