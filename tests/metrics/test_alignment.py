"""Text alignment through open_clip's own classes, with a small random model of its architecture."""

import folder_paths
import numpy as np
import open_clip
import pytest
import torch
from PIL import Image
from tiny_open_clip import NAME, save_tiny_clip

from coupled.metrics.alignment import text_alignment
from coupled.metrics.clip import ClipModel, Preprocessing, load_open_clip
from coupled.nodes.alignment import CoupledTextAlignment, weights_files

PROMPTS = ["A fox in a meadow", "An eagle in a meadow"]
IMAGES = torch.rand(2, 48, 80, 3, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """The weights of a random model that open_clip knows by NAME, as a safetensors file."""
    return save_tiny_clip(tmp_path_factory.mktemp("open_clip"))


@pytest.fixture
def clip(weights):
    return load_open_clip(NAME, weights)


def reference(weights, images, prompts):
    """Cosines by open_clip alone, from pictures in PIL."""
    module = open_clip.create_model(NAME, load_weights=False).eval()
    module.load_state_dict(open_clip.factory.load_state_dict(str(weights)))
    transform = open_clip.image_transform(32, is_train=False)
    pictures = [Image.fromarray((image * 255).round().byte().numpy()) for image in images]
    with torch.no_grad():
        seen = module.encode_image(torch.stack([transform(p) for p in pictures]), normalize=True)
        read = module.encode_text(open_clip.get_tokenizer(NAME)(prompts), normalize=True)
    return (seen * read).sum(-1)


def test_scores_are_open_clips_own_cosines(clip, weights):
    cosines = reference(weights, IMAGES, PROMPTS)
    ours = torch.tensor(text_alignment(clip, IMAGES, PROMPTS)) / 100
    assert torch.allclose(
        ours, cosines.clamp(min=0), atol=2e-3
    )  # PIL rounds to bytes after each pass
    assert cosines.max() > 0.01  # else this would compare zeros


def test_hessel_puts_words_before_the_prompt(clip, weights):
    cosines = reference(weights, IMAGES, [f"A photo depicts {p}" for p in PROMPTS])
    ours = torch.tensor(text_alignment(clip, IMAGES, PROMPTS, "hessel"))
    assert torch.allclose(ours, 2.5 * cosines.clamp(min=0), atol=5e-3)


@pytest.mark.parametrize("mode", ["shortest", "squash"])
@pytest.mark.parametrize("shape", [(40, 96), (96, 40), (16, 20), (32, 32), (33, 47)])
def test_preprocessing_is_open_clips(shape, mode):
    # Away from black and white: PIL also clips between its two passes.
    noise = np.random.default_rng(0).integers(
        64, 192, (shape[0] // 4, shape[1] // 4, 3), dtype=np.uint8
    )
    picture = Image.fromarray(noise).resize(shape[::-1], Image.Resampling.BICUBIC)
    expected = open_clip.image_transform(32, is_train=False, resize_mode=mode)(picture)
    ours = Preprocessing(size=(32, 32), resize_mode=mode)(
        torch.from_numpy(np.array(picture))[None] / 255
    )[0]
    assert ours.shape == expected.shape
    assert (
        ours - expected
    ).abs().max() * 0.276 < 1.5 / 255  # PIL rounds to bytes after each of two passes


def test_the_models_module_is_left_to_the_host_to_move(clip):
    import comfy.model_management

    clip.embed_texts(PROMPTS)
    assert clip.patcher in [loaded.model for loaded in comfy.model_management.current_loaded_models]
    assert not any(p.requires_grad for p in clip.module.parameters())


@pytest.mark.parametrize(
    ("images", "prompts", "message"),
    [
        (IMAGES, PROMPTS[:1], "of prompts there is 1, of images 2"),
        (IMAGES, ["A fox", " "], "empty prompt"),
        (IMAGES[0], PROMPTS, "RGB images"),
        (IMAGES[:0], [], "RGB images"),
        (torch.full_like(IMAGES, float("nan")), PROMPTS, "contains NaN"),
    ],
)
def test_unfit_inputs_are_named(clip, images, prompts, message):
    with pytest.raises(ValueError, match=message):
        text_alignment(clip, images, prompts)


def test_an_unknown_convention_is_named(clip):
    with pytest.raises(ValueError, match="no convention 'cos'"):
        text_alignment(clip, IMAGES, PROMPTS, "cos")


def test_weights_of_another_model_are_refused(weights):
    with pytest.raises(ValueError, match="no weights of ViT-B-32"):
        load_open_clip("ViT-B-32", weights)


def test_a_web_page_saved_as_weights_is_called_one(tmp_path):
    page = tmp_path / "clip.pt"
    page.write_text("<!DOCTYPE html><html>")
    with pytest.raises(ValueError, match="clip.pt cannot be read as weights: it is a web page"):
        load_open_clip(NAME, page)


@pytest.mark.parametrize("name", ["ViT-Z", "hf-hub:someone/something", "local-dir:/etc", ""])
def test_names_that_open_clip_does_not_hold_are_refused(name, weights):
    with pytest.raises(ValueError, match="knows no model"):
        load_open_clip(name, weights)


def test_a_pickle_is_not_run(tmp_path, weights):
    import pickle

    class Bomb:
        def __reduce__(self):
            return (open, (str(tmp_path / "ran"), "w"))

    (tmp_path / "bomb.pt").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(ValueError, match="bomb.pt"):
        load_open_clip(NAME, tmp_path / "bomb.pt")
    assert not (tmp_path / "ran").exists()


def test_a_named_set_is_not_downloaded_unasked(monkeypatch, tmp_path):
    import huggingface_hub

    monkeypatch.delenv("COUPLED_ALLOW_DOWNLOADS", raising=False)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(FileNotFoundError, match="COUPLED_ALLOW_DOWNLOADS"):
        load_open_clip("ViT-B-32", None, "laion2b_s34b_b79k")
    assert not list(tmp_path.iterdir())


def test_a_set_that_does_not_exist_is_named():
    with pytest.raises(ValueError, match="laion2b_s34b_b79k"):
        load_open_clip("ViT-B-32", None, "nothing")


def test_the_node_scores_with_a_file_of_the_hosts_folders(weights, monkeypatch):
    monkeypatch.setitem(
        folder_paths.folder_names_and_paths, "open_clip", ([str(weights.parent)], set())
    )
    folder_paths.filename_list_cache.pop("open_clip", None)
    assert "tiny.safetensors" in weights_files() and f"{NAME}.json" not in weights_files()
    choice = {
        "clip_model": "open_clip",
        "model": NAME,
        "weights": "tiny.safetensors",
        "pretrained": "",
    }
    output = CoupledTextAlignment.execute(IMAGES, "\n".join(PROMPTS) + "\n\n", choice)
    scores = text_alignment(load_open_clip(NAME, weights), IMAGES, PROMPTS)
    f_ti, per_image = output.result
    assert f_ti == pytest.approx(sum(scores) / 2)
    assert [line.split("  ")[1] for line in per_image.splitlines()] == PROMPTS


@pytest.mark.parametrize("name", ["gone.safetensors", "../secret.safetensors", f"{NAME}.json"])
def test_the_node_takes_no_file_outside_the_hosts_folders(name, weights, monkeypatch):
    monkeypatch.setitem(
        folder_paths.folder_names_and_paths, "open_clip", ([str(weights.parent)], set())
    )
    folder_paths.filename_list_cache.pop("open_clip", None)
    choice = {"clip_model": "open_clip", "model": NAME, "weights": name, "pretrained": ""}
    with pytest.raises(FileNotFoundError, match="no CLIP weights file"):
        CoupledTextAlignment.execute(IMAGES, "\n".join(PROMPTS), choice)


def test_the_node_without_a_known_model_says_so():
    with pytest.raises(ValueError, match="Choose one of: open_clip, mini"):
        CoupledTextAlignment.execute(IMAGES, "\n".join(PROMPTS))


def test_a_clip_model_of_ones_own_counts_rows_not_batches(weights):
    """Seventeen images, one more than fits into one pass."""
    module = load_open_clip(NAME, weights).module
    clip = ClipModel(module, open_clip.get_tokenizer(NAME), Preprocessing(size=(32, 32)))
    images = torch.rand(17, 32, 32, 3, generator=torch.Generator().manual_seed(1))
    together = clip.embed_images(images)
    assert torch.allclose(together[16], clip.embed_images(images[16:])[0], atol=1e-5)
