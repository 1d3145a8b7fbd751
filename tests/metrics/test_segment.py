"""Entity masks: the recipe on masks made by hand, on painted pictures, and around real Sam modules,
untrained.
"""

import logging
import sys
from pathlib import Path

import comfy.model_management
import folder_paths
import pytest
import torch
from safetensors.torch import save_file
from segment_anything import sam_model_registry
from torch.nn import functional as F

from coupled.metrics.checkpoint import empty_sam
from coupled.metrics.proposals import Proposals, grid_points, pairwise_iou, pick_entity, scores
from coupled.metrics.segment import Segmenter, load_sam, segment_entities
from coupled.nodes import segment as node_file
from coupled.nodes.segment import NO_CHECKPOINT, CoupledSegmentEntities, checkpoint_names
from coupled.optimize import ModelMeter

from tiny_sam import tiny_sam

N = 64  # the side of the hand-made masks


class ColorSegmenter(Segmenter):
    """Proposes what has the color of the point, at three tolerances; for a box, what in it has its
    middle's color.
    """

    def __init__(self):
        super().__init__(tiny_sam(patch=8))

    def embed(self, image_HWC):
        height, width = self.cells(self.framed(*image_HWC.shape[:2]))
        small = F.interpolate(
            image_HWC[None].permute(0, 3, 1, 2), (height, width), mode="nearest-exact"
        )
        return F.pad(small, (0, N - width, 0, N - height), value=-5.0)

    def decode(self, embedding, points_P2=None, boxes_P4=None):
        middles = points_P2 if boxes_P4 is None else (boxes_P4[:, :2] + boxes_P4[:, 2:]) / 2
        x, y = (middles / 2).long().unbind(1)
        far_P1HW = (
            (embedding - embedding[0, :, y, x].T[:, :, None, None]).abs().amax(1, keepdim=True)
        )
        tolerances = torch.tensor([0.05, 0.25, 0.6] if boxes_P4 is None else [0.25])
        logits = (tolerances[None, :, None, None] - far_P1HW) * 100
        if boxes_P4 is not None:
            left, top, right, bottom = (boxes_P4[0] / 2).round().int().tolist()
            inside = torch.zeros_like(logits, dtype=torch.bool)
            inside[..., top:bottom, left:right] = True
            logits = torch.where(inside, logits, -9.0)
        return logits, torch.full(logits.shape[:2], 0.95)


def box(left, top, right, bottom) -> torch.Tensor:
    """A mask [N, N] that is true between these shares of the side."""
    mask = torch.zeros(N, N, dtype=torch.bool)
    mask[round(top * N) : round(bottom * N), round(left * N) : round(right * N)] = True
    return mask


def proposals_of(*masks, iou=None) -> Proposals:
    """Each mask proposed by every point of a 16 × 16 grid that lies in it."""
    points = grid_points(16)
    x, y = (points * N).long().unbind(1)
    rows = [
        (mask, i, p) for i, mask in enumerate(masks) for p in range(len(points)) if mask[y[p], x[p]]
    ]
    logits = torch.stack([mask for mask, _, _ in rows]) * 10.0 - 5
    quality = torch.tensor([0.9 if iou is None else iou[i] for _, i, _ in rows])
    return Proposals(logits, quality, torch.tensor([p for _, _, p in rows]), points)


def winner(*masks, min_score=0.2, iou=None):
    """Which of the masks is pick_entity, by its place in the arguments."""
    proposals = proposals_of(*masks, iou=iou)
    index = pick_entity(proposals, min_score)
    if index is None:
        return None
    return next(
        i for i, mask in enumerate(masks) if torch.equal(proposals.logits_NHW[index] > 0, mask)
    )


BODY, HEAD = box(0.35, 0.3, 0.6, 0.8), box(0.4, 0.3, 0.55, 0.45)
SKY, FLOOR = box(0, 0, 1, 0.4), box(0, 0.6, 1, 1)
HILLS, WALL = box(0, 0.4, 1, 0.6), box(0, 0, 0.3, 1)
CLOUD = box(0.1, 0.05, 0.4, 0.15)
HILLSIDE = torch.ones(N, N, dtype=torch.bool).tril() & box(0, 0.3, 1, 0.6) | box(0, 0.55, 1, 0.6)
SCENERY = {
    "sky": SKY,
    "floor": FLOOR,
    "hills across the middle": HILLS,
    "wall": WALL,
    "pole": box(0.45, 0, 0.55, 1),
    "all but the entity": ~BODY,
    "all": box(0, 0, 1, 1),
    "cloud": CLOUD,
    "floor beside the entity": FLOOR & ~BODY,
    "floor left of it": box(0, 0.6, 0.35, 1),
    "sky beside a tower": box(0, 0, 0.45, 0.5),
    "speck": box(0.45, 0.45, 0.48, 0.48),
}


@pytest.mark.parametrize("name", SCENERY)
def test_scenery_alone_is_no_entity(name):
    assert winner(SCENERY[name]) is None


def test_the_entity_wins_over_all_scenery_even_where_the_model_likes_that_better():
    others = list(SCENERY.values())
    assert winner(*others, BODY, iou=[0.99] * len(others) + [0.8]) == len(others)


def test_the_whole_wins_over_its_part():
    assert winner(HEAD, BODY) == winner(HEAD, BODY, iou=[0.95, 0.75]) == 1


def test_a_whole_that_scores_badly_does_not_win():
    assert winner(HEAD, BODY, iou=[0.95, 0.3]) == 0


def test_a_merge_that_one_point_proposes_does_not_win():
    """An entity with a chance piece of the scene: larger, but no other point in it agrees."""
    merge = BODY | box(0.1, 0.3, 0.9, 0.8)
    p = proposals_of(BODY)
    one = Proposals(
        torch.cat([p.logits_NHW, merge[None] * 10.0 - 5]),
        torch.cat([p.iou_N, torch.tensor([0.99])]),
        torch.cat([p.point_N, p.point_N[:1]]),
        p.points_P2,
    )
    assert torch.equal(one.logits_NHW[pick_entity(one, 0.2)] > 0, BODY)


@pytest.mark.parametrize(
    "mask",
    [
        box(0.25, 0.25, 0.8, 1.0),  # cut by the lower edge
        box(0.3, 0.2, 0.7, 1.0) | box(0, 0.75, 1, 1.0),  # head and shoulders
        box(0.05, 0.3, 0.35, 0.7),  # off the middle
        box(0.45, 0.4, 0.6, 0.55),  # small
    ],
)
def test_entities_of_many_framings_pass(mask):
    assert winner(SKY & ~mask, mask, CLOUD) == 1


def test_scores_rise_with_quality_stability_and_agreement():
    p = proposals_of(BODY)
    base = scores(p)[0]
    assert scores(Proposals(p.logits_NHW, p.iou_N / 2, p.point_N, p.points_P2))[0] == pytest.approx(
        base / 2
    )
    soft = Proposals(p.logits_NHW / 4, p.iou_N, p.point_N, p.points_P2)
    edge = soft.logits_NHW + box(0.3, 0.3, 0.35, 0.8) * 1.0  # a rim that leaves with the threshold
    assert scores(Proposals(edge, p.iou_N, p.point_N, p.points_P2))[0] < 0.95 * base
    lonely = Proposals(p.logits_NHW[:1], p.iou_N[:1], p.point_N[:1], p.points_P2)
    assert scores(lonely)[0] == pytest.approx(base / len(p))


def test_nothing_proposed_is_nothing_chosen():
    empty = Proposals(
        torch.zeros(0, N, N), torch.zeros(0), torch.zeros(0, dtype=torch.long), grid_points(4)
    )
    assert pick_entity(empty, 0.0) is None


def test_pairwise_iou_is_the_definition():
    iou = pairwise_iou(torch.stack([BODY, HEAD, SKY]))
    assert torch.allclose(iou.diag(), torch.ones(3))
    assert iou[0, 1] == pytest.approx((BODY & HEAD).sum().item() / (BODY | HEAD).sum().item())
    assert torch.equal(iou, iou.T)


def picture(height=160, width=240, entity=True):
    """Sky, floor, hills, a sun and, maybe, a red figure with a darker head; and the figure's
    mask.
    """
    image = torch.zeros(height, width, 3)
    image[:] = torch.tensor([0.5, 0.7, 1.0])
    ys, xs = torch.meshgrid(
        (torch.arange(height) + 0.5) / height, (torch.arange(width) + 0.5) / width, indexing="ij"
    )
    image[(xs - 0.85) ** 2 + (ys - 0.15) ** 2 < 0.003] = torch.tensor([1.0, 1.0, 0.4])
    image[ys > 0.5 + 0.05 * torch.sin(9 * xs)] = torch.tensor([0.2, 0.4, 0.5])
    image[ys > 0.62] = torch.tensor([0.3, 0.6, 0.1])
    body = ((xs - 0.45) / 0.13) ** 2 + ((ys - 0.62) / 0.22) ** 2 < 1
    head = ((xs - 0.45) / 0.08) ** 2 + ((ys - 0.38) / 0.1) ** 2 < 1
    if entity:
        image[body], image[head] = torch.tensor([0.9, 0.1, 0.1]), torch.tensor([0.75, 0.1, 0.2])
    return image, body | head


def test_it_finds_the_figure_in_a_painted_picture():
    for size in ((160, 240), (240, 160), (128, 128)):
        image, truth = picture(*size)
        mask = segment_entities(ColorSegmenter(), image[None])
        assert mask.shape == (1, *size) and set(mask.unique().tolist()) == {0.0, 1.0}
        assert pairwise_iou(torch.stack([mask[0] > 0.5, truth]))[0, 1] > 0.87, size


def test_it_leaves_an_empty_scene_empty_and_says_so(caplog):
    images = torch.stack([picture()[0], picture(entity=False)[0]])
    with caplog.at_level(logging.WARNING):
        masks = segment_entities(ColorSegmenter(), images, ["An eagle soars.", "A red fox runs."])
    assert masks[0].any() and not masks[1].any()
    assert "Image 2 (A red fox runs.)" in caplog.text and "Image 1" not in caplog.text


def test_the_box_prompt_refines_what_is_the_same_thing_only():
    class Boxed(ColorSegmenter):
        answer = box(0, 0, 1, 1)

        def decode(self, embedding, points_P2=None, boxes_P4=None):
            if boxes_P4 is None:
                return super().decode(embedding, points_P2)
            return self.answer[None, None] * 200.0 - 100, torch.ones(1, 1)

    image, truth = picture(128, 128)
    plain = segment_entities(ColorSegmenter(), image[None])[0]
    segmenter = Boxed()
    assert (
        pairwise_iou(torch.stack([segment_entities(segmenter, image[None])[0] > 0.5, truth]))[0, 1]
        > 0.85
    )
    segmenter.answer = F.interpolate(plain[None, None], (N, N))[0, 0] > 0.5
    segmenter.answer[segmenter.answer.nonzero()[0][0]] = False  # the same thing without its top row
    without = segment_entities(segmenter, image[None])[0]
    first_row, its_first_row = (int(mask.any(1).nonzero()[0]) for mask in (plain, without))
    assert first_row < its_first_row <= first_row + 4


def test_each_image_is_judged_alone():
    images = torch.stack([picture()[0], picture(entity=False)[0], picture()[0].flip(1)])
    together = segment_entities(ColorSegmenter(), images)
    for image, mask in zip(images, together, strict=True):
        assert torch.equal(segment_entities(ColorSegmenter(), image[None])[0], mask)


def test_a_real_sam_runs_whatever_the_pictures_shape():
    segmenter = Segmenter(tiny_sam())
    for size in ((128, 128), (40, 300), (257, 31)):
        masks = segment_entities(
            segmenter, torch.rand(2, *size, 3), points_per_side=3, min_score=0.0
        )
        assert masks.shape == (2, *size) and set(masks.unique().tolist()) <= {0.0, 1.0}


def test_prompts_in_batches_are_the_package_s_own_predictions():
    from segment_anything import SamPredictor

    segmenter, image = Segmenter(tiny_sam()), torch.rand(128, 128, 3)
    image = (image * 255).round() / 255
    predictor = SamPredictor(segmenter.sam)
    predictor.set_image((image * 255).round().byte().numpy())
    points = torch.tensor([[30.0, 60.0], [100.0, 20.0]])
    with torch.inference_mode():
        logits, iou = segmenter.decode(segmenter.embed(image), points_P2=points)
        of_box, _ = segmenter.decode(
            segmenter.embed(image), boxes_P4=torch.tensor([[10.0, 20.0, 90.0, 99.0]])
        )
    for i, point in enumerate(points.numpy()):
        _, expected_iou, expected = predictor.predict(
            point[None], [1], multimask_output=True, return_logits=True
        )
        assert torch.allclose(logits[i], torch.from_numpy(expected), atol=1e-4)
        assert torch.allclose(iou[i], torch.from_numpy(expected_iou), atol=1e-4)
    expected = predictor.predict(
        box=torch.tensor([10.0, 20.0, 90.0, 99.0]).numpy(), multimask_output=False
    )[2]
    assert torch.allclose(of_box[0], torch.from_numpy(expected), atol=1e-4)


def test_the_host_holds_the_model_and_can_take_it_off():
    segmenter, images = ColorSegmenter(), picture()[0][None]
    first = segment_entities(segmenter, images)
    assert segmenter.patcher in comfy.model_management.loaded_models()
    assert segmenter.patcher.model_size() == sum(
        p.nbytes for p in segmenter.sam.state_dict().values()
    )
    comfy.model_management.unload_all_models()
    assert segmenter.patcher not in comfy.model_management.loaded_models()
    assert torch.equal(first, segment_entities(segmenter, images))


@pytest.mark.parametrize("name", ["vit_b", "vit_l", "vit_h"])
def test_published_sizes_are_known_by_their_shapes(name):
    with torch.device("meta"):
        theirs = sam_model_registry[name]()
        ours = empty_sam(theirs.state_dict())
    assert str(ours) == str(theirs)  # every layer, with its sizes
    assert {k: v.shape for k, v in ours.state_dict().items()} == {
        k: v.shape for k, v in theirs.state_dict().items()
    }
    for a, b in zip(ours.image_encoder.blocks, theirs.image_encoder.blocks, strict=True):
        assert (a.window_size, a.attn.num_heads, a.attn.scale) == (
            b.window_size,
            b.attn.num_heads,
            b.attn.scale,
        )
    assert ours.image_encoder.img_size == theirs.image_encoder.img_size
    assert ours.prompt_encoder.input_image_size == theirs.prompt_encoder.input_image_size
    assert ours.prompt_encoder.mask_input_size == theirs.prompt_encoder.mask_input_size
    heads = [m.num_heads for m in ours.mask_decoder.modules() if hasattr(m, "num_heads")]
    assert heads == [m.num_heads for m in theirs.mask_decoder.modules() if hasattr(m, "num_heads")]


@pytest.mark.parametrize("kind", ["safetensors", "pth", "half"])
def test_a_checkpoint_comes_back_as_it_was_saved(tmp_path, kind):
    sam = tiny_sam()
    path = tmp_path / ("sam.pth" if kind == "pth" else "any name.safetensors")
    weights = {k: v.half() if kind == "half" else v for k, v in sam.state_dict().items()}
    torch.save(weights, path) if kind == "pth" else save_file(weights, path)
    loaded, image = load_sam(path), torch.rand(128, 100, 3)
    assert all(
        p.dtype == torch.float32 and p.device.type == "cpu"
        for p in loaded.sam.state_dict().values()
    )
    sam.load_state_dict({k: v.float() for k, v in weights.items()})
    with torch.inference_mode():
        logits = [
            s.decode(s.embed(image), points_P2=torch.tensor([[50.0, 40.0]]))[0]
            for s in (loaded, Segmenter(sam))
        ]
    assert torch.equal(*logits)


class Bomb:
    def __reduce__(self):
        return (print, ("a checkpoint ran code",))


@pytest.mark.parametrize(
    ("start", "message"),
    [
        (b"<!DOCTYPE html>\n<html lang=en>", "it is a web page.*Download the file itself"),
        (b"\xef\xbb\xbf\n <html><head><title>404", "it is a web page"),
        (b"<?xml version='1.0'?><Error><Code>AccessDenied", "it is a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "it is only Git's pointer"),
        (b'{"error": "Invalid credentials"}', "it is a text .'{.error.: .Invalid credentials"),
        (b"", "it is empty"),
        (b"\0\1\2\3", "it is damaged, or of another kind"),
    ],
)
@pytest.mark.parametrize("ending", ["pth", "safetensors"])
def test_a_file_that_is_no_weights_is_called_what_it_is(tmp_path, start, message, ending):
    path = tmp_path / f"sam_vit_b.{ending}"
    path.write_bytes(start)
    with pytest.raises(
        ValueError, match=f"sam_vit_b.{ending} cannot be read as weights: {message}"
    ) as caught:
        load_sam(path)
    assert "weights_only" not in str(caught.value)


def test_what_is_no_checkpoint_is_refused_with_words(tmp_path, capsys):
    weights = tiny_sam().state_dict()
    other, more, less = (
        tmp_path / "other.safetensors",
        tmp_path / "hq.safetensors",
        tmp_path / "less.safetensors",
    )
    save_file({"model.weight": torch.zeros(3)}, other)
    save_file({**weights, "mask_decoder.hf_token.weight": torch.zeros(1, 32)}, more)
    save_file({k: v for k, v in weights.items() if "neck.2" not in k}, less)
    for path in (other, more, less):
        with pytest.raises(
            ValueError, match=f"{path.name} is not a checkpoint of the original Segment Anything"
        ):
            load_sam(path)
    garbage, bomb = tmp_path / "garbage.pth", tmp_path / "bomb.pth"
    garbage.write_bytes(b"no weights")
    torch.save({"image_encoder.pos_embed": Bomb()}, bomb)
    for path in (garbage, bomb):
        with pytest.raises(ValueError, match=f"{path.name} cannot be read as weights"):
            load_sam(path)
    assert "ran code" not in capsys.readouterr().out
    with pytest.raises(FileNotFoundError, match="models/sams"):
        load_sam(tmp_path / "absent.pth")


def test_a_missing_package_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "segment_anything", None)
    for call in (
        lambda: load_sam(tmp_path / "x.pth"),
        lambda: CoupledSegmentEntities.execute(torch.zeros(1, 8, 8, 3), {"segmenter": "mini"}),
    ):
        with pytest.raises(ImportError, match="pip install segment-anything"):
            call()


@pytest.mark.parametrize(
    "images, entities, words",
    [
        (torch.zeros(2, 8, 8, 3), ["a"], "of entities there is 1, of images 2"),
        (torch.zeros(8, 8, 3), None, "not .8, 8, 3."),
        (torch.zeros(0, 8, 8, 3), None, "must be RGB"),
        (torch.zeros(1, 8, 8, 1), None, "must be RGB"),
        (
            torch.cat([torch.zeros(1, 8, 8, 3), torch.full((1, 8, 8, 3), torch.nan)]),
            ["a fox", "an owl"],
            r"2 \(an owl\)",
        ),
        (torch.full((1, 8, 8, 3), torch.inf), None, "Image 1 contains NaN"),
        (
            torch.full((2, 8, 8, 3), torch.nan),
            ["a fox"] * 3,
            "of entities there are 3, of images 2",
        ),
        (
            torch.cat([torch.zeros(1, 8, 8, 3), torch.full((1, 8, 8, 3), torch.nan)]),
            ["a fox"],
            "of entities there is 1, of images 2",
        ),
    ],
)
def test_images_it_can_not_judge_are_refused(images, entities, words):
    with pytest.raises(ValueError, match=words):
        segment_entities(ColorSegmenter(), images, entities)


@pytest.mark.parametrize(
    "settings, words",
    [
        ({"min_score": float("nan")}, "min_score"),
        ({"min_score": 1.5}, "min_score"),
        ({"points_per_side": 0}, "points"),
    ],
)
def test_settings_that_choose_at_random_are_refused(settings, words):
    with pytest.raises(ValueError, match=words):
        segment_entities(ColorSegmenter(), torch.zeros(1, 8, 8, 3), **settings)
    with pytest.raises(ValueError, match=words):
        ModelMeter(None, None, "", **settings)


@pytest.fixture
def sams(tmp_path, monkeypatch):
    """The host's folder of Segment Anything checkpoints, with one in it and two other files."""
    folder = tmp_path / "sams"
    (folder / "more").mkdir(parents=True)
    save_file(tiny_sam().state_dict(), folder / "more" / "tiny.safetensors")
    (folder / "readme.txt").write_text("")
    (tmp_path / "outside.pth").write_text("")
    monkeypatch.setitem(folder_paths.folder_names_and_paths, "sams", ([str(folder)], set()))
    return folder


def test_the_host_knows_the_folder():
    assert str(Path(folder_paths.models_dir) / "sams") in folder_paths.get_folder_paths("sams")


def test_the_list_shows_weights_only(sams, monkeypatch):
    assert checkpoint_names() == [str(Path("more") / "tiny.safetensors")]
    (sams / "more" / "tiny.safetensors").unlink()
    monkeypatch.setattr(folder_paths, "filename_list_cache", {})
    assert checkpoint_names() == [NO_CHECKPOINT]


def test_the_node_runs_a_checkpoint(sams):
    choice = {
        "segmenter": "segment anything",
        "checkpoint": "more/tiny.safetensors",
        "points_per_side": 2,
        "min_score": 0.0,
    }
    (masks,) = CoupledSegmentEntities.execute(
        torch.rand(2, 64, 48, 3), choice, "A fox.\n\n An owl. \n"
    ).args
    assert masks.shape == (2, 64, 48)
    with pytest.raises(ValueError, match="of entities there is 1, of images 2"):
        CoupledSegmentEntities.execute(torch.rand(2, 64, 48, 3), choice, "A fox.")


@pytest.mark.parametrize(
    "choice, error, words",
    [
        (
            {"segmenter": "segment anything", "checkpoint": NO_CHECKPOINT},
            FileNotFoundError,
            "models/sams",
        ),
        (
            {"segmenter": "segment anything", "checkpoint": "../outside.pth"},
            FileNotFoundError,
            "models/sams",
        ),
        (
            {"segmenter": "segment anything", "checkpoint": "readme.txt"},
            FileNotFoundError,
            "models/sams",
        ),
        ({"segmenter": "segment anything"}, FileNotFoundError, "models/sams"),
        ({"segmenter": "sam 9"}, ValueError, "Choose one of"),
        (None, ValueError, "Choose one of"),
    ],
)
def test_the_node_refuses_what_it_can_not_load(sams, choice, error, words):
    with pytest.raises(error, match=words):
        CoupledSegmentEntities.execute(torch.zeros(1, 8, 8, 3), choice)


def test_the_schema_is_the_contract_s():
    schema = CoupledSegmentEntities.define_schema()
    options = {option.key: [one.id for one in option.inputs] for option in schema.inputs[1].options}
    assert schema.category == "coupled/measure" and [one.id for one in schema.inputs] == [
        "images",
        "segmenter",
        "entities",
    ]
    assert options["segment anything"][0] == "checkpoint" and options["mini"] == []
    assert schema.inputs[2].optional and [one.io_type for one in schema.outputs] == ["MASK"]
    assert node_file.NODES == [CoupledSegmentEntities]
