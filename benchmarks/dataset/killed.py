"""A data set one of whose workers is killed in the midst of a shard, against an undisturbed one."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import psutil

from devtools.environment import ROOT

POLL = 0.05  # seconds
ACTOR = "MapWorker"  # how Ray names a process that makes records


def compare_killed(host: Path, prompts: Path, folder: Path, options: Sequence[str]) -> dict:
    """Makes a data set in one process, and again by two actors of Ray, one of them killed.

    Parameters:
        prompts: the records or the grammar.
        folder: where both data sets go.
        options: of `dataset make`.

    Returns when the actor was killed, by records on disk, how many there are, and whether both
    folders hold the same bytes.

    RuntimeError with what it said if a run failed.
    """
    end(start(host, prompts, folder / "undisturbed", *options))
    process = start(host, prompts, folder / "killed", *options, "--engine", "ray", "--workers", "2")
    try:
        done = wait_for(process, lambda: count_records(folder / "killed"))
        find_actors(process)[0].send_signal(signal.SIGKILL)
        end(process)
    finally:
        process.kill()
    contents = read_folder(folder / "undisturbed")
    return {
        "records": count_records(folder / "killed"),
        "killed_after": done,
        "same_bytes": read_folder(folder / "killed") == contents,
    }


def start(host: Path, prompts: Path, folder: Path, *options: str, **process) -> subprocess.Popen:
    """`dev.py dataset make` in a process of its own; `process`: further arguments of Popen."""
    command = (sys.executable, "-m", "devtools.dataset", "--host", str(host), "make")
    return subprocess.Popen(
        [*command, str(prompts), str(folder), *options],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": ""},  # as a user's
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        **process,
    )


def end(process: subprocess.Popen) -> str:
    """What it said, when it has ended. RuntimeError if it failed."""
    said, _ = process.communicate()
    if process.returncode:
        raise RuntimeError(f"The run failed ({process.returncode}):\n{said}")
    return said


def wait_for(process: subprocess.Popen, reached: Callable[[], int]) -> int:
    """What `reached` gives when it gives something. RuntimeError if the run ends before."""
    while not (found := reached()):
        if process.poll() is not None:
            raise RuntimeError(f"The run ended before:\n{process.communicate()[0]}")
        time.sleep(POLL)
    return found


def find_actors(process: subprocess.Popen) -> list[psutil.Process]:
    """The processes of Ray's actors that have loaded their models and work."""
    children = psutil.Process(process.pid).children(recursive=True)
    return [one for one in children if ACTOR in " ".join(one.cmdline())]


def count_records(folder: Path) -> int:
    """How many records are on disk."""
    shards = (path.read_text().splitlines() for path in folder.glob("metadata/0*.jsonl"))
    return len(list(folder.glob("parts/*/*.tar"))) + sum(map(len, shards))


def read_folder(folder: Path) -> dict[str, bytes]:
    """{path: contents} of all files."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def write_grammar(example: Path, sets: int, path: Path) -> Path:
    """A grammar that makes so many sets."""
    grammar = json.loads(example.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**grammar, "count": sets}), encoding="utf-8")
    return path
