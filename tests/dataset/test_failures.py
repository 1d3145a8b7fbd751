"""Records that cannot be made: each is noted with its reason, and the rest goes on."""

import dataclasses
import json

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from tiny_dataset import SETTINGS

from coupled.dataset import run
from coupled.dataset.filters import Filters
from coupled.dataset.records import read_records
from coupled.dataset.settings import Models, Settings
from coupled.dataset.store import Store, read_metadata
from coupled.dataset.work import STARTS, Maker, make_records, refuse_deadly

pytestmark = pytest.mark.slow


def test_a_record_that_fails_is_noted_and_the_rest_goes_on(tmp_path):
    Image.new("RGB", (64, 64), "teal").save(tmp_path / "photo.png")
    texts = {"background": "A beach by the sea.", "entities": ["A cat sits.", "A red fox runs."]}
    lines = [{"id": "bad", "plate": "photo.png", **texts}, {"id": "good", **texts}]
    path = tmp_path / "a.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)))
    # Only mode local takes a plate: this is known only when the record is painted.
    settings = Settings(steps=2, width=64, height=64, mode="exact", filters=Filters("none"))
    run.make(run.plan(path, tmp_path / "set", settings), run.make_here)
    run.finish(tmp_path / "set", [])
    bad, good = read_metadata(tmp_path / "set")
    assert (bad["verdict"], good["verdict"]) == ("failed", "kept")
    assert "mode local" in bad["reason"] and "f_bg" not in good["measures"]
    assert "mode local" in (tmp_path / "set" / "index.html").read_text()


def make_all(maker, folder, records):
    """The records, one a shard, as they are on disk."""
    store = Store(folder, [one.id for one in records], 1)
    for record in make_records(maker, store, records):
        store.close(store.places[record.id])
    return read_metadata(folder)


def test_a_set_that_does_not_fit_into_memory_is_noted_and_the_rest_goes_on(
    maker, prompts, tmp_path
):
    first, last = read_records(prompts)[:2]
    huge = dataclasses.replace(first, width=1 << 24, height=1 << 24)
    failed, good = make_all(maker, tmp_path, [huge, last])
    assert (failed["verdict"], failed["measures"]) == ("failed", {})
    assert "memory" in failed["reason"] and good["verdict"] != "failed"


def test_a_record_that_kills_its_process_again_and_again_is_noted(maker, prompts, tmp_path):
    deadly, good = read_records(prompts)[:2]
    store = Store(tmp_path, [deadly.id, good.id], 1)
    for _ in range(STARTS):  # each is a process that died there
        assert next(refuse_deadly(maker, store, [deadly, good])) == deadly
    assert list(refuse_deadly(maker, store, [deadly, good])) == [good]
    store.close(0)
    (failed,) = read_metadata(tmp_path)
    assert failed["verdict"] == "failed" and "its process died 3 times" in failed["reason"]


def test_pictures_without_numbers_are_noted(prompts, tmp_path):
    lora = tmp_path / "lora.safetensors"
    layer = "diffusion_model.final_layer.linear"
    halves = {"A": torch.ones(1, 192), "B": torch.ones(64, 1)}
    save_file({f"{layer}.lora_{name}.weight": half for name, half in halves.items()}, lora)
    models = Models(lora=str(lora), lora_strength=float("inf"))
    maker = Maker(dataclasses.replace(SETTINGS, models=models))
    found = make_all(maker, tmp_path / "set", read_records(prompts)[:2])
    assert [one["verdict"] for one in found] == ["failed", "failed"]
    assert "NaN" in found[0]["reason"]
