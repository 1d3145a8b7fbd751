"""Save Coupled Set: records in the host's real output folder, moved to a temporary place."""

import json

import datasets
import folder_paths
import pytest
import torch
import webdataset

from coupled.dataset import run
from coupled.dataset.filters import Filters
from coupled.dataset.judge import judge_again
from coupled.dataset.store import read_metadata
from coupled.nodes.dataset import CoupledSaveSet

PROMPTS = "A red fox runs in a meadow.\nA cat sits in a meadow."
ENTITIES = "A red fox runs.\nA cat sits."


@pytest.fixture
def output(tmp_path, monkeypatch):
    monkeypatch.setattr(folder_paths, "output_directory", str(tmp_path))
    return tmp_path / "dataset" / "my_set"


def save(seed=0, n=2, prompts=PROMPTS, folder="my_set", per_shard=2, **options):
    generator = torch.Generator().manual_seed(seed)
    images = torch.rand(n, 64, 64, 3, generator=generator)
    return CoupledSaveSet.execute(images, prompts, folder, per_shard, **options)


def parts():
    masks = torch.zeros(2, 64, 64)
    masks[:, 8:24] = 1
    return {"plate": torch.rand(1, 64, 64, 3), "entity_masks": masks, "entities": ENTITIES}


def test_sets_become_a_shard_that_webdataset_reads(output):
    for seed in range(3):
        save(seed, **parts(), background="A meadow.", f_ti=31.5)
    assert len(list(output.glob("parts/000001/*.tar"))) == 1
    (path,) = (output / "shards").glob("*.tar")
    found = list(webdataset.WebDataset(str(path), shardshuffle=False).decode("rgb8"))
    assert len(found) == 2 and found[0]["plate.png"].shape == (64, 64, 3)
    content = found[0]["json"]
    assert content["measures"]["f_ti"] == 31.5 and content["measures"]["f_bg"] < 0
    assert content["entities"] == ENTITIES.split("\n") and len(content["edits"]) == 6
    assert content["edits"][0]["text"] == "replace a red fox runs with a cat sits"


def test_finish_takes_what_waits_and_writes_all_formats(output, tmp_path):
    save(0, **parts())
    save(1)
    save(2)
    assert run.finish(output, ["parquet", "folders"]) == 3
    assert run.finish(output, ["parquet", "folders"]) == 3
    assert "ComfyUI" in (output / "index.html").read_text()
    assert "License of model and pictures: not stated" in (output / "README.md").read_text()
    run.finish(output, [], "MIT")
    run.finish(output, ["parquet", "folders"])
    assert "License of model and pictures: MIT" in (output / "README.md").read_text()
    found = datasets.load_dataset(str(output), split="train", cache_dir=str(tmp_path / "cache"))
    assert len(found) == 3 and found[0]["images"][0].size == (64, 64)
    assert len(list((output / "folders" / "target").glob("*.png"))) == 6 + 2 + 2
    save(3)
    assert run.finish(output, ["parquet"]) == 4
    assert len({one["id"] for one in read_metadata(output)}) == 4


def test_the_same_set_is_one_record(output):
    save(0, per_shard=9)
    save(0, per_shard=9)
    assert run.finish(output, []) == 1


@pytest.mark.parametrize(
    "options, words",
    [
        ({"n": 1}, "two or more"),
        ({"prompts": "A cat."}, "2 images but 1 prompts"),
        ({"entities": "A cat."}, "2 images but 1 entities"),
        ({"entity_masks": torch.zeros(2, 8, 8)}, "shape of masks"),
        ({"plate": torch.zeros(2, 64, 64, 3)}, "shape of plate"),
        ({"folder": "../elsewhere"}, "inside output/dataset"),
        ({"folder": ""}, "inside output/dataset"),
    ],
)
def test_what_does_not_fit_is_refused(output, options, words):
    with pytest.raises(ValueError, match=words):
        save(**options)
    assert not output.exists()


def test_a_folder_keeps_its_number(output):
    save(0)
    with pytest.raises(ValueError, match="other per_shard"):
        save(1, per_shard=3)


def test_what_a_graph_made_is_not_judged_again(output):
    save(0)
    with pytest.raises(ValueError, match="made in a graph"):
        judge_again(output, Filters("none"))
    assert run.finish(output, []) == 1


def test_a_made_data_set_is_not_mixed_with(output):
    output.mkdir(parents=True)
    (output / "settings.json").write_text(json.dumps({"records": "abc", "settings": {}}))
    with pytest.raises(ValueError, match="other .*records"):
        save(0)
