"""The models of a data set: files by name or path, and a LoRA on the mini model."""

import dataclasses
from pathlib import Path

import folder_paths
import pytest
import torch
from safetensors.torch import save_file

from coupled.dataset import models as module
from coupled.dataset.models import (
    FOLDERS,
    add_lora,
    describe_files,
    find_models,
    hash_models,
    load_models,
)
from coupled.dataset.paint import SetPainter
from coupled.dataset.records import make_record
from coupled.dataset.settings import Models, Settings
from coupled.mini.model import load_mini

RECORD = make_record(
    {"background": "A sandy beach by the sea.", "entities": ["A red fox runs.", "A cat sits."]}
)
LAYER = "diffusion_model.double_blocks.0.img_attn.qkv"


def write_lora(path, layer=LAYER):
    """A LoRA of rank 4 for one layer of the mini model."""
    generator = torch.Generator().manual_seed(1)
    halves = {
        "A": torch.randn(4, 192, generator=generator),
        "B": torch.randn(3 * 192, 4, generator=generator),
    }
    weights = {f"{layer}.lora_{letter}.weight": half for letter, half in halves.items()}
    save_file({name: weight.half() for name, weight in weights.items()}, path)
    return str(path)


def paint(models):
    settings = Settings(models=models, steps=2, width=64, height=64)
    return SetPainter(load_models(models), settings).paint(RECORD).images


@pytest.mark.parametrize("key", FOLDERS)
def test_a_model_that_is_missing_is_named(key, tmp_path):
    for name in FOLDERS:
        (tmp_path / name).touch()
    there = Models(**{name: str(tmp_path / name) for name in FOLDERS})
    assert list(find_models(there)) == list(FOLDERS)
    names = dataclasses.replace(there, **{key: "nowhere.sft"})
    with pytest.raises(FileNotFoundError, match=r"'nowhere.sft' is neither a file nor in .*models"):
        find_models(names)


def test_all_files_of_flux_or_none_are_named():
    with pytest.raises(ValueError, match="clip_l, t5, vae is not named"):
        find_models(Models(unet="flux.sft"))


def test_files_are_found_by_name_and_hashed_by_contents(tmp_path, monkeypatch):
    (tmp_path / "mine.safetensors").write_bytes(b"weights")
    before = folder_paths.folder_names_and_paths["loras"]
    monkeypatch.setitem(
        folder_paths.folder_names_and_paths, "loras", ([str(tmp_path), *before[0]], before[1])
    )
    names = Models(lora="mine.safetensors")
    assert find_models(names)["lora"] == [tmp_path / "mine.safetensors"]
    settings = Settings(models=names, hashes=hash_models(names))
    assert describe_files(settings) == {
        "mini": {"name": "Mini Flux", "sha256": dict(settings.hashes)["mini"]},
        "lora": {"name": "mine.safetensors", "sha256": "9a129038"},
    }


def test_the_packs_own_lora_is_found_by_name(tmp_path, monkeypatch):
    path = write_lora(tmp_path / "mini_turbo.safetensors")
    monkeypatch.setattr(module, "LORA", Path(path))
    assert list(map(str, find_models(Models(lora="mini_turbo.safetensors"))["lora"])) == [path]


@pytest.mark.slow
def test_a_lora_changes_the_pictures_by_its_strength(tmp_path):
    path = write_lora(tmp_path / "lora.safetensors")
    plain = paint(Models())
    assert (paint(Models(lora=path)) != plain).any()
    assert (paint(Models(lora=path, lora_strength=0.0)) == plain).all()


def test_a_lora_of_another_model_is_refused(tmp_path):
    path = write_lora(tmp_path / "other.safetensors", layer="diffusion_model.somewhere.else")
    with pytest.raises(ValueError, match="No weight of the LoRA .* fits Mini Flux"):
        add_lora(load_mini()[0], Models(lora=path))


def test_a_lora_that_is_no_file_of_weights_is_refused(tmp_path):
    path = tmp_path / "page.safetensors"
    path.write_text("<html>")
    with pytest.raises(ValueError, match="it is a web page"):
        add_lora(load_mini()[0], Models(lora=str(path)))
