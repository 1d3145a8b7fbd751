"""Mini CLIP: its classes, its training, and how it ranks texts."""

import numpy as np
import open_clip
import pytest
import torch

from coupled.benchmarks.mini.drawn import held_out_ranking
from coupled.metrics.alignment import text_alignment
from coupled.mini import model as mini_model
from coupled.mini.clip import CONTEXT, build_mini_clip, load_mini_clip, tokenizer
from coupled.mini.paths import WEIGHTS
from coupled.mini.training.dataset import SceneArrays
from coupled.mini.training.loop import Budget
from coupled.mini.training.train_clip import ANY, captions, contrastive_loss, fits, train_clip
from coupled.mini.world import PLACES, SUBJECTS, draw_scene
from coupled.nodes.alignment import CoupledTextAlignment

trained = pytest.mark.skipif(
    not (WEIGHTS / "clip.safetensors").is_file(), reason="Mini CLIP is not trained yet"
)


def test_it_is_open_clips_own_class_and_small():
    clip = build_mini_clip()
    assert type(clip) is open_clip.CLIP
    assert 2 * sum(p.numel() for p in clip.state_dict().values()) < 5e6


def test_missing_weights_are_named(monkeypatch, tmp_path):
    monkeypatch.setattr(mini_model, "WEIGHTS", tmp_path)
    with pytest.raises(FileNotFoundError, match="clip.safetensors"):
        load_mini_clip()


def test_words_it_does_not_know_are_named(caplog):
    ids = tokenizer()(["A red fox runs.", "A zebra."])
    assert ids.shape == (2, CONTEXT) and "zebra" in caplog.text


def test_too_many_words_are_refused():
    with pytest.raises(ValueError, match=f"reads {CONTEXT - 1} words"):
        tokenizer()(["fox " * CONTEXT])


def test_captions_name_what_they_say():
    rng = np.random.default_rng(0)
    count = len(SUBJECTS)
    texts, subjects, places = captions(
        rng, torch.arange(count).repeat(9), torch.arange(9).repeat_interleave(count)
    )
    for text, s, p in zip(texts, subjects.tolist(), places.tolist(), strict=True):
        assert s == ANY or any(noun in text.lower() for noun in SUBJECTS[s].nouns)
        assert p == ANY or any(
            phrase.split(" ", 1)[1] in text.lower() or phrase.split()[-1] in text.lower()
            for phrase in (x.lower() for x in PLACES[p].phrases)
        )
    assert (
        (subjects == ANY).any()
        and (places == ANY).any()
        and ((subjects >= 0) & (places >= 0)).any()
    )


def test_an_open_caption_fits_every_picture_and_a_named_one_only_its_own():
    table = fits(torch.tensor([3, ANY]), torch.tensor([3, 4, -1]))
    assert table.tolist() == [[True, True], [False, True], [False, True]]


def test_loss_is_least_where_the_right_texts_score_highest():
    right = torch.eye(4)
    assert contrastive_loss(20 * right, right) < 1e-3 < contrastive_loss(torch.zeros(4, 4), right)
    assert contrastive_loss(20 * right.flip(0), right) > 10


def test_training_learns_resumes_and_keeps_the_scale(tmp_path):
    arrays = SceneArrays(tmp_path, 8)
    for i in range(8):
        scene = draw_scene(np.random.default_rng(i), SUBJECTS[i], PLACES[i])
        arrays.images_NHWC[i], arrays.masks_NHW[i] = scene.image_HWC, scene.mask_HW
        arrays.subject_N[i], arrays.place_N[i] = i, i
    path = tmp_path / "clip.pt"
    before = train_clip(arrays, path, Budget(steps=3), batch=8).state_dict()
    after = train_clip(arrays, path, Budget(steps=4), batch=8).state_dict()
    assert before.keys() == after.keys()
    assert not torch.equal(before["visual.proj"], after["visual.proj"])
    assert after["logit_scale"].exp().item() == pytest.approx(100)


@trained
def test_it_ranks_the_right_subject_and_place_first():
    clip = load_mini_clip()
    result = held_out_ranking(
        lambda images, prompts: text_alignment(clip, images, prompts), count=96
    )
    assert result["subject_first"] > 0.8 and result["place_first"] > 0.9
    assert (
        result["right"] > result["wrong_subject"] + 3
        and result["right"] > result["wrong_place"] + 3
    )


@trained
def test_the_node_with_mini():
    scene = draw_scene(np.random.default_rng(0), SUBJECTS[0], PLACES[0])
    image = torch.from_numpy(np.array(scene.image_HWC, np.float32))[None] / 255
    right, wrong = (
        CoupledTextAlignment.execute(image, text, {"clip_model": "mini"}).result[0]
        for text in (scene.caption.text, "A robot on a sandy beach.")
    )
    assert right > wrong
