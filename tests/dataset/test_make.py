"""A whole data set with the mini model: its records, formats, page, and what it is when it is made
in parts.
"""

import dataclasses
import io
import json
import tarfile

import datasets
import numpy as np
import pytest
import webdataset
from PIL import Image
from tiny_dataset import SETTINGS

from coupled.benchmarks.dataset.killed import read_folder
from coupled.dataset import run
from coupled.dataset.filters import Filters
from coupled.dataset.measures import MEASURES
from coupled.dataset.pictures import read_picture, to_bytes
from coupled.dataset.settings import Settings
from coupled.dataset.store import read_metadata
from coupled.dataset.work import make_records

FORMATS = ("parquet", "folders")


pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def engine(maker):
    """The plain loop, with models that all tests share."""
    return lambda settings, store, records: make_records(maker, store, records)


@pytest.fixture(scope="module")
def made(prompts, engine, tmp_path_factory):
    """A data set of six records in three shards."""
    folder = tmp_path_factory.mktemp("data") / "set"
    run.make(run.plan(prompts, folder, SETTINGS), engine)
    run.finish(folder, FORMATS)
    return folder


def test_all_records_are_there_with_their_measures(made):
    records = read_metadata(made)
    assert len(records) == 6 and not list((made / "parts").iterdir())
    for one in records:
        assert one["verdict"] in ("kept", "rejected")
        assert one["measures"]["f_bg"] <= 0
        assert one["measures_uncoupled"]["f_bg"] < one["measures"]["f_bg"]
        assert one["models"]["mini"]["sha256"] and one["steps"] == SETTINGS.steps
        assert one["theta"] == {"shape": "sin", "center": 4.0, "k": 0.8, "reference_steps": 50}
    assert {one["verdict"] for one in records} >= {"kept"}


def test_webdataset_reads_the_shards(made):
    names = [str(path) for path in sorted((made / "shards").glob("*.tar"))]
    samples = list(webdataset.WebDataset(names, shardshuffle=False).decode("rgb8"))
    kept = [one for one in read_metadata(made) if one["verdict"] == "kept"]
    assert [one["__key__"] for one in samples] == [one["id"] for one in kept]
    first = samples[0]
    assert first["json"] == kept[0]
    pictures = ("image_0.png", "image_1.png", "plate.png", "uncoupled_1.png")
    assert all(first[name].shape == (SETTINGS.height, SETTINGS.width, 3) for name in pictures)
    # Outside the mask an image is the plate, but for what the decoder carries across the edge.
    outside = first["mask_0.png"][..., 0] == 0
    away = np.abs(first["image_0.png"].astype(int) - first["plate.png"])[outside]
    assert 0 < outside.mean() < 1 and np.median(away) <= 2


def test_datasets_reads_the_parquet_files_as_images(made, tmp_path):
    found = datasets.load_dataset(str(made), split="train", cache_dir=str(tmp_path))
    kept = [one for one in read_metadata(made) if one["verdict"] == "kept"]
    assert found["id"] == [one["id"] for one in kept]
    first = found[0]
    assert first["plate"].size == first["images"][1].size == (SETTINGS.width, SETTINGS.height)
    assert len(first["masks"]) == len(first["uncoupled"]) == 2
    assert first["f_bg"] == kept[0]["measures"]["f_bg"]
    assert first["edits"][0]["text"].startswith("replace the")


def test_folders_hold_pairs_of_one_name(made):
    names = {
        folder: {path.stem for path in (made / "folders" / folder).glob("*.png")}
        for folder in ("control", "target")
    }
    captions = {path.stem for path in (made / "folders" / "target").glob("*.txt")}
    kept = sum(one["verdict"] == "kept" for one in read_metadata(made))
    assert names["control"] == names["target"] == captions and len(captions) == 6 * kept
    control = sorted((made / "folders" / "control").glob("*insert.png"))[0]
    caption = (made / "folders" / "target" / control.name).with_suffix(".txt").read_text()
    assert caption.startswith("add a ")
    assert Image.open(control).size == (SETTINGS.width, SETTINGS.height)


def test_rejected_sets_stay_as_metadata_with_a_strip(made):
    rejected = [one for one in read_metadata(made) if one["verdict"] == "rejected"]
    names = []
    for path in sorted((made / "rejected").glob("*.tar")):
        with tarfile.open(path) as tar:
            names += tar.getnames()
    expected = [f"{one['id']}.{end}" for one in rejected for end in ("json", "strip.jpg")]
    assert names == expected


def test_the_page_needs_nothing_but_itself(made):
    page = (made / "index.html").read_text()
    assert "<script" not in page and "http" not in page.replace("http-equiv", "")
    verdicts = [one["verdict"] for one in read_metadata(made)]
    kept = verdicts.count("kept")
    assert page.count("data:image/jpeg;base64,") == 6 + kept  # and those of the same seed
    assert "<h2>Kept" in page and ("<h2>Rejected" in page) == (kept < 6)
    assert "asked for<td>6<tr><td>made<td>6<tr>" in page and f"<td>{kept}</table>" in page
    assert page.count("<svg") == len(MEASURES) and "region_union" in page


def test_the_card_names_license_counts_and_fields(made):
    card = (made / "README.md").read_text()
    assert (
        "Fluent Emoji" in card
        and "is a given picture: 0." in card
        and "clip_direction" in card
        and "parquet/*.parquet" in card
    )


@pytest.mark.parametrize("world", [2, 3])
def test_any_number_of_processes_makes_the_same_bytes(world, made, prompts, engine, tmp_path):
    folder = tmp_path / "set"
    for rank in reversed(range(world)):
        run.make(run.plan(prompts, folder, SETTINGS), engine, rank, world)
    run.finish(folder, FORMATS)
    assert read_folder(folder) == read_folder(made)


def test_a_stopped_run_goes_on_by_record(made, prompts, engine, tmp_path):
    folder = tmp_path / "set"
    asked = []

    def stopping(settings, store, records):
        asked.append(len(records))
        for number, record in enumerate(engine(settings, store, records)):
            yield record
            if number == 2 and len(asked) == 1:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run.make(run.plan(prompts, folder, SETTINGS), stopping)
    kept = len(list((folder / "parts").rglob("*.tar"))) + len(read_metadata(folder))
    run.make(run.plan(prompts, folder, SETTINGS), stopping)
    run.finish(folder, FORMATS)
    assert asked[0] == 6 and asked[1] == 6 - kept <= 3
    assert read_folder(folder) == read_folder(made)


def test_an_own_plate_is_the_background(maker, tmp_path):
    Image.new("RGB", (64, 64), "teal").save(tmp_path / "photo.png")
    texts = {"background": "A beach by the sea.", "entities": ["A cat sits.", "A red fox runs."]}
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps({"id": "own", "plate": "photo.png", **texts}))
    settings = Settings(steps=2, width=64, height=64, filters=Filters("none"))
    run.make(run.plan(path, tmp_path / "set", settings), run.make_here)
    run.finish(tmp_path / "set", [], "CC-BY-4.0")
    card = (tmp_path / "set" / "README.md").read_text()
    assert "pictures: CC-BY-4.0" in card and "background is a given picture: 1." in card
    (shard,) = (tmp_path / "set" / "shards").iterdir()
    with tarfile.open(shard) as tar:
        plate = Image.open(io.BytesIO(tar.extractfile("own.plate.png").read()))
    vae = maker.loaded.vae
    expected = to_bytes(vae.decode(vae.encode(read_picture(tmp_path / "photo.png", (64, 64)))))
    assert np.abs(np.asarray(plate).astype(int) - expected[0]).max() <= 1


@pytest.mark.parametrize(
    "change, words",
    [
        ({"steps": 3}, "other steps"),
        ({"filters": Filters("none")}, "other filters.*dataset judge"),
    ],
)
def test_a_folder_holds_one_data_set(made, prompts, change, words):
    with pytest.raises(ValueError, match=words):
        run.plan(prompts, made, dataclasses.replace(SETTINGS, **change))


def test_a_folder_with_other_things_is_left_alone(prompts, tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(ValueError, match="not empty"):
        run.plan(prompts, tmp_path, SETTINGS)


@pytest.mark.parametrize(
    "change, words",
    [
        ({"steps": 0}, "steps"),
        ({"width": 50}, "multiples of 16"),
        ({"sampler_name": "magic"}, "magic"),
        ({"mode": "magic"}, "magic"),
        ({"models": dataclasses.replace(SETTINGS.models, unet="flux.sft")}, "clip_l, t5, vae"),
        ({"width": 1 << 24, "height": 1 << 24}, "GB"),
    ],
)
def test_what_cannot_go_well_is_said_before_anything_is_made(prompts, tmp_path, change, words):
    with pytest.raises((ValueError, FileNotFoundError), match=words):
        run.plan(prompts, tmp_path / "set", dataclasses.replace(SETTINGS, **change))
    assert not (tmp_path / "set").exists()


def test_each_text_is_encoded_once(maker, prompts, tmp_path):
    before = maker.painter.texts.encoded
    plan = run.plan(prompts, tmp_path / "set", SETTINGS)
    run.make(plan, lambda settings, store, records: make_records(maker, store, records))
    texts = {
        text
        for one in plan.records.values()
        for text in (one.split.background, *one.split.entities)
    }
    assert maker.painter.texts.encoded - before in (0, len(texts))
    assert maker.painter.texts.encoded == len(texts)
