"""Data sets made by processes of their own, which are killed: the command, and Ray's actors."""

import json
import subprocess
import sys

import pytest
import torch
from safetensors.torch import save_file

from coupled.benchmarks.dataset.killed import (
    compare_killed,
    count_records,
    end,
    read_folder,
    start,
    wait_for,
)
from coupled.dataset.store import read_metadata

from paths import HOST, ROOT

GRAMMAR = {
    "places": ["in a misty forest at dawn", "in a desert at sunset"],
    "subjects": {
        "the fox": "a red fox runs",
        "the cat": "a cat sits",
        "the robot": "a robot walks",
    },
    "phrasings": ["{subject} {place}.", "{place}, {subject}."],
}
RECORDS = 12
LARGEST_FILE = 8192  # bytes; a set takes more
OPTIONS = ("--steps", "2", "--size", "64", "--per-shard", "4")


pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def prompts(tmp_path_factory):
    path = tmp_path_factory.mktemp("prompts") / "grammar.json"
    path.write_text(json.dumps(GRAMMAR))
    return path


@pytest.fixture(scope="module")
def undisturbed(prompts, tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "set"
    assert "images a second" in end(begin(prompts, folder))
    return read_folder(folder)


def begin(prompts, folder, *options, **process):
    return start(HOST, prompts, folder, *OPTIONS, *options, **process)


def limit_files():
    """A process that can write no larger file: as on a full disk, its pictures fail."""
    import resource

    resource.setrlimit(resource.RLIMIT_FSIZE, (LARGEST_FILE, LARGEST_FILE))


def test_a_killed_run_goes_on_to_the_same_bytes(prompts, undisturbed, tmp_path):
    folder = tmp_path / "set"
    process = begin(prompts, folder)
    wait_for(process, lambda: count_records(folder) >= 2)
    process.kill()
    process.communicate()
    made = count_records(folder)
    assert 2 <= made < RECORDS
    said = end(begin(prompts, folder))
    assert f"{RECORDS - made}/{RECORDS - made} sets" in said
    assert read_folder(folder) == undisturbed


def test_ray_replaces_a_killed_actor_and_loses_nothing(prompts, tmp_path):
    found = compare_killed(HOST, prompts, tmp_path, OPTIONS)
    assert found["records"] == RECORDS and 1 <= found["killed_after"] < RECORDS
    assert found["same_bytes"]


def test_processes_of_a_launcher_share_the_work(prompts, undisturbed, tmp_path, monkeypatch):
    folder = tmp_path / "set"
    monkeypatch.setenv("WORLD_SIZE", "2")
    for rank in ("1", "0"):
        monkeypatch.setenv("RANK", rank)
        monkeypatch.setenv("LOCAL_RANK", rank)
        end(begin(prompts, folder))
        assert (folder / "index.html").exists() == (rank == "0")
    assert read_folder(folder) == undisturbed


def test_a_full_disk_stops_the_run_and_spoils_nothing(prompts, undisturbed, tmp_path):
    folder = tmp_path / "set"
    said = complaint(begin(prompts, folder, preexec_fn=limit_files))
    assert said.startswith("The data set stopped: ") and "too large" in said
    assert list(read_folder(folder)) == ["settings.json"]
    end(begin(prompts, folder))
    assert read_folder(folder) == undisturbed


def test_judging_from_the_command_line(prompts, undisturbed, tmp_path):
    folder = tmp_path / "set"
    for name, content in undisturbed.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    rejected = [one["id"] for one in read_metadata(folder) if one["verdict"] == "rejected"]
    command = [sys.executable, "-m", "devtools.dataset", "--host", str(HOST), "judge", str(folder)]
    done = subprocess.run(
        [*command, "--filters", "none"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert rejected and "more are to be made" in done.stdout
    said = end(begin(prompts, folder, "--filters", "none"))
    assert f"{len(rejected)}/{len(rejected)} sets" in said and f"{RECORDS} sets." in said
    assert {one["verdict"] for one in read_metadata(folder)} == {"kept"}


def complaint(process):
    """The last line of a run that fails."""
    with pytest.raises(RuntimeError) as error:
        end(process)
    print(error.value)  # all of it, for who reads of a failure
    return str(error.value).splitlines()[-1]


def test_mistakes_are_said_at_once(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"prompts": ["A cat."]}\n')
    said = complaint(begin(path, tmp_path / "set"))
    assert said.startswith("The data set stopped: a.jsonl, line 1: Write two or more prompts,")


def test_what_an_actor_of_ray_says_is_the_last_word(prompts, tmp_path):
    lora = tmp_path / "lora.safetensors"
    save_file({"diffusion_model.nowhere.lora_A.weight": torch.zeros(4, 8)}, lora)
    options = ("--lora", str(lora), "--engine", "ray", "--workers", "1")
    said = complaint(begin(prompts, tmp_path / "set", *options))
    assert said.startswith("The data set stopped: an actor of Ray failed: ValueError: No weight of")
