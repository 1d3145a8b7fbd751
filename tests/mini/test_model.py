"""The model that ships with the pack, through the host's own objects."""

import logging
import statistics

import numpy as np
import pytest
import torch
from PIL import Image

from coupled.attention import encode_set
from coupled.attention.report import Report
from coupled.mini.model import load_mini
from coupled.mini.paths import WEIGHTS
from coupled.mini.size import SIZE
from coupled.mini.world import PLACES, SUBJECTS, held_out
from coupled.mini.world.canvas import Canvas
from coupled.sampling import couple, decode_set, sample_set
from coupled.schedules.families import constant, sin

BACKGROUND = "A vibrant meadow under a clear blue sky, bathed in sunlight."
ENTITIES = ["An eagle soars gracefully.", "A red fox runs."]


@pytest.fixture(scope="module")
def mini():
    return load_mini()


def empty() -> dict:
    return {"samples": torch.zeros(1, 16, SIZE // 8, SIZE // 8)}


def paint(mini, theta, mode="local", background=BACKGROUND, entities=ENTITIES, steps=12, seed=3):
    """Images [n, SIZE, SIZE, 3] of a coupled set."""
    model, clip, vae = mini
    conditioning = encode_set(clip, background, entities, 3.5)
    return vae.decode(
        sample_set(couple(model, theta, mode), conditioning, empty(), seed, steps)["samples"]
    )


def test_it_is_the_hosts_own_flux_and_fits_in_forty_megabytes(mini):
    import comfy.ldm.flux.model
    import comfy.sd

    model, clip, vae = mini
    assert type(model.model.diffusion_model) is comfy.ldm.flux.model.Flux
    assert type(clip) is comfy.sd.CLIP and type(vae) is comfy.sd.VAE
    assert sum(path.stat().st_size for path in WEIGHTS.iterdir()) < 40e6


def test_a_text_becomes_tokens_and_a_pooled_vector(mini):
    _, clip, _ = mini
    ((tokens, values),) = clip.encode_from_tokens_scheduled(clip.tokenize(BACKGROUND))
    assert tokens.shape == (1, 24, 128) and values["pooled_output"].shape == (1, 64)
    ((other, _),) = clip.encode_from_tokens_scheduled(clip.tokenize(ENTITIES[0]))
    assert not torch.allclose(tokens, other)


def test_the_text_encoder_matches_what_was_trained(mini):
    """Training calls the T5 on token ids; the host calls it on embedded tokens."""
    from coupled.mini.text import END

    _, clip, _ = mini
    encoder = clip.cond_stage_model
    ids = torch.tensor([[token for token, *_ in clip.tokenize(ENTITIES[1])["t5xxl"][0]]])
    states = encoder.t5xxl.transformer(ids, None, dtype=torch.float32)[0]
    pooled = encoder.pool(states[:, ids[0].tolist().index(END)])
    ((tokens, values),) = clip.encode_from_tokens_scheduled(clip.tokenize(ENTITIES[1]))
    assert torch.allclose(tokens, states, atol=1e-5)
    assert torch.allclose(values["pooled_output"], pooled, atol=1e-5)


def test_words_it_does_not_know_are_named(mini, caplog):
    _, clip, _ = mini
    with caplog.at_level(logging.WARNING):
        clip.tokenize("A cute Pikachu sits in a meadow.")
    assert "pikachu" in caplog.text and "meadow" not in caplog.text


def test_the_vae_gives_a_scene_back(mini):
    _, _, vae = mini
    canvas = Canvas(np.random.default_rng(0))
    PLACES[0].paint(canvas, 0.5)
    scene = np.asarray(canvas.image.resize((SIZE, SIZE), Image.Resampling.BOX), np.float32) / 255
    image = torch.from_numpy(scene)[None]
    latent = vae.encode(image)
    assert latent.shape == (1, 16, SIZE // 8, SIZE // 8)
    error = (vae.decode(latent) - image).square().mean()
    assert error < 0.02 * image.var(), "the decoded picture does not resemble the scene"


def test_theta_zero_gives_one_picture_n_times(mini):
    first, second = paint(mini, constant(0.0), steps=4)
    assert torch.equal(first, second)


@pytest.mark.slow
def test_coupling_keeps_the_background_that_the_same_seed_changes(mini):
    """Where no subject stands the pictures are the same in every pixel, at each of eight seeds."""
    place = f"{BACKGROUND[0].lower()}{BACKGROUND[1:]}"
    prompts = [f"{entity[:-1]} in {place}" for entity in ENTITIES]
    model, clip, vae = mini
    conditioning = encode_set(clip, BACKGROUND, ENTITIES, 3.5)
    shares = []
    for seed in range(1, 9):
        report = Report()
        coupled = couple(model, sin(center=4))
        samples = sample_set(coupled, conditioning, empty(), seed, 20, report=report)
        masks = report.masks(8)
        images, _ = decode_set(samples, vae, {"samples": report.plate()}, masks)
        outside = masks.amax(0) == 0
        stock = paint(mini, constant(1.0), "exact", entities=prompts, steps=20, seed=seed)
        assert torch.equal(images[0][outside], images[1][outside])
        assert (stock[0] - stock[1])[outside].square().mean() > 1e-3
        shares.append(outside.float().mean().item())
    assert statistics.median(shares) > 0.3


def test_coupled_pictures_show_different_subjects(mini):
    first, second = paint(mini, sin(center=4), steps=20)
    assert (first - second)[SIZE // 4 :, SIZE // 4 : -SIZE // 4].square().mean() > 1e-3


def test_the_world_holds_enough_and_keeps_pairs_for_judging():
    pairs = {(s.name, p.name): held_out(s.name, p.name) for s in SUBJECTS for p in PLACES}
    assert len(SUBJECTS) >= 16 and len(PLACES) >= 8
    assert 0.1 < sum(pairs.values()) / len(pairs) < 0.25
    assert not pairs["eagle", "meadow"] and not pairs["squirrel", "forest"]


def test_missing_weights_are_said_aloud(monkeypatch, tmp_path):
    from coupled.mini import model

    monkeypatch.setattr(model, "WEIGHTS", tmp_path)
    with pytest.raises(FileNotFoundError, match=r"flux\.safetensors"):
        model.load_mini()
