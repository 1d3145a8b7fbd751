"""A data set judged again by other filters: it is as if it had been made with them."""

import dataclasses
import json
import shutil

import numpy as np
import pytest

from coupled.benchmarks.dataset.killed import read_folder
from coupled.dataset import run
from coupled.dataset.claim import JUDGING, claim, count_missing
from coupled.dataset.filters import FAILED, Filters, Stage, read_filters
from coupled.dataset.judge import judge_again, unpack
from coupled.dataset.records import identify, make_record
from coupled.dataset.samples import files_of, to_json
from coupled.dataset.settings import Settings
from coupled.dataset.store import Store, read_metadata

FORMATS = ("parquet", "folders")
ENTITIES = ["A red fox runs.", "A cat sits."]
F_BG = {"a": -0.001, "b": -0.004, "c": None, "d": -0.003, "e": -0.002, "f": -0.003, "g": -0.005}
OUT_OF_MEMORY = "d"
LOOSE, NONE = Filters("loose", (Stage("f_bg", min=-0.01),)), Filters("none")
STRICT = Filters("strict", (Stage("f_bg", min=-0.0025),))
RECORDS = [
    make_record({"id": key, "background": "A meadow.", "entities": ENTITIES}) for key in F_BG
]


def sample(record, filters):
    """The files of a record as a Maker writes them, with pictures that follow from its id."""
    texts = {**record.texts(), "edits": [], "width": 8, "height": 8}
    if record.id == OUT_OF_MEMORY:
        failed = {"measures": {}, "verdict": FAILED, "reason": "OutOfMemoryError"}
        return {"json": to_json(texts | failed)}
    measures = {"f_bg": F_BG[record.id]}
    verdict, reason = filters.judge(measures)
    content = texts | {"measures": measures, "verdict": verdict, "reason": reason}
    pictures = np.random.default_rng(ord(record.id)).integers(0, 256, (3, 8, 8, 3), np.uint8)
    return files_of(content, pictures[:2], pictures[2])


def make(folder, filters, keys=F_BG, per_shard=2):
    """The records `keys` that are not there, in shards of two."""
    settings = Settings(filters=filters, per_shard=per_shard)
    claim(folder, settings, identify(RECORDS))
    store = Store(folder, list(F_BG), per_shard)
    for record in RECORDS:
        place = store.places[record.id]
        if record.id in keys and record.id in store.missing(place):
            store.add(record.id, sample(record, filters))
        store.close(place)
    return folder


def finished(folder):
    run.finish(folder, FORMATS)
    return read_folder(folder)


def test_stricter_filters_leave_what_they_would_have_made(tmp_path):
    folder = make(tmp_path / "judged", LOOSE)
    run.finish(folder, FORMATS)
    judge_again(folder, STRICT)
    assert count_missing(folder) == 0
    assert finished(folder) == finished(make(tmp_path / "made", STRICT))


@pytest.mark.parametrize("there", [list(F_BG), list("abcd"), list("abg")])
def test_looser_filters_open_the_shards_whose_pictures_are_gone(tmp_path, there):
    folder = make(tmp_path / "judged", STRICT, there)
    judge_again(folder, NONE)
    again = {key for key in there if F_BG[key] is None or F_BG[key] < -0.0025} - {OUT_OF_MEMORY}
    assert not again & {one["id"] for one in read_metadata(folder)}
    made = {path.stem for path in folder.glob("parts/*/*.tar")} | {
        one["id"] for one in read_metadata(folder)
    }
    assert made == set(there) - again
    make(folder, NONE)
    assert finished(folder) == finished(make(tmp_path / "made", NONE))


def test_the_same_filters_change_nothing(tmp_path):
    folder = make(tmp_path / "set", LOOSE)
    before = finished(folder)
    judge_again(folder, LOOSE)
    assert read_folder(folder) == before


def stop_after_unpacking(folder):
    """A folder whose judging was killed when the first shard was unpacked."""
    (folder / JUDGING).touch()
    unpack(folder / "shards" / "000000.tar", folder / "parts" / "000000")


def test_judging_that_was_stopped_is_to_be_run_again(tmp_path):
    folder = make(tmp_path / "judged", LOOSE)
    stop_after_unpacking(folder)
    with pytest.raises(ValueError, match="half judged"):
        make(folder, LOOSE)
    with pytest.raises(ValueError, match="half judged"):
        run.finish(folder, [])
    judge_again(folder, STRICT)
    assert finished(folder) == finished(make(tmp_path / "made", STRICT))


def test_judging_that_was_stopped_may_go_back_to_the_filters_before(tmp_path):
    folder = make(tmp_path / "judged", STRICT)
    stop_after_unpacking(folder)
    for part in folder.glob("parts/*/*.tar"):
        part.unlink()  # its verdict had changed, and its pictures were gone
    judge_again(folder, STRICT)
    assert finished(folder) == finished(make(tmp_path / "made", STRICT))


def test_a_folder_without_a_data_set_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="holds no data set"):
        judge_again(tmp_path, LOOSE)
    assert not list(tmp_path.iterdir())


def test_a_file_of_filters_that_was_changed_is_noticed(tmp_path):
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(dataclasses.asdict(LOOSE)))
    folder = make(tmp_path / "set", read_filters(str(path)))
    path.write_text(json.dumps(dataclasses.asdict(STRICT)))
    with pytest.raises(ValueError, match="begun with other filters.*dataset judge"):
        make(folder, read_filters(str(path)))
    path.unlink()  # what is there needs the file no more
    shutil.move(folder, tmp_path / "elsewhere")
    assert run.finish(tmp_path / "elsewhere", []) == len(F_BG)
