"""Data sets made by processes of their own, which are killed: the command, and Ray's actors."""

import json
import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

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
SECONDS = 500  # at most; two actors load torch and the host on a machine that may be busy
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
    said, code = end(start(prompts, folder))
    assert code == 0 and "images a second" in said, said
    return contents(folder)


def start(prompts, folder, *options):
    command = (sys.executable, "-m", "devtools.dataset", "--host", str(HOST), "make")
    return subprocess.Popen(
        [*command, str(prompts), str(folder), *OPTIONS, *options],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def end(process):
    said, _ = process.communicate(timeout=SECONDS)
    return said, process.returncode


def contents(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def count(folder):
    """How many records are on disk."""
    shards = (path.read_text().splitlines() for path in folder.glob("metadata/0*.jsonl"))
    return len(list(folder.glob("parts/*/*.tar"))) + sum(map(len, shards))


def wait_for(process, reached):
    deadline = time.monotonic() + SECONDS
    while not (found := reached()):
        assert process.poll() is None, process.stdout.read()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return found


def actors(process):
    """The processes of Ray's actors that have loaded their models and work."""
    children = psutil.Process(process.pid).children(recursive=True)
    return [one for one in children if "MapWorker" in " ".join(one.cmdline())]


def test_a_killed_run_goes_on_to_the_same_bytes(prompts, undisturbed, tmp_path):
    folder = tmp_path / "set"
    process = start(prompts, folder)
    wait_for(process, lambda: count(folder) >= 2)
    process.kill()
    process.communicate()
    made = count(folder)
    assert 2 <= made < RECORDS
    said, code = end(start(prompts, folder))
    assert code == 0 and f"{RECORDS - made}/{RECORDS - made} sets" in said, said
    assert contents(folder) == undisturbed


def test_ray_replaces_a_killed_actor_and_loses_nothing(prompts, undisturbed, tmp_path):
    folder = tmp_path / "set"
    process = start(prompts, folder, "--engine", "ray", "--workers", "2")
    try:
        wait_for(process, lambda: count(folder) >= 1)
        # Now, in the midst of a shard.
        killed = actors(process)[0]
        killed.send_signal(signal.SIGKILL)
        assert 1 <= count(folder) < RECORDS
        said, code = end(process)
    finally:
        process.kill()
    assert code == 0, said
    assert contents(folder) == undisturbed


def test_processes_of_a_launcher_share_the_work(prompts, undisturbed, tmp_path, monkeypatch):
    folder = tmp_path / "set"
    monkeypatch.setenv("WORLD_SIZE", "2")
    for rank in ("1", "0"):
        monkeypatch.setenv("RANK", rank)
        monkeypatch.setenv("LOCAL_RANK", rank)
        said, code = end(start(prompts, folder))
        assert code == 0, said
        assert (folder / "index.html").exists() == (rank == "0")
    assert contents(folder) == undisturbed


def test_mistakes_are_said_at_once(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"prompts": ["A cat."]}\n')
    said, code = end(start(path, tmp_path / "set"))
    assert code == 1 and "a.jsonl, line 1" in said and "Traceback" not in said
