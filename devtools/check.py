"""`dev.py check`: format, lint, types and the fast tests, each with its result and its time.

Standard library only.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from .environment import ROOT
from .host import stop_on_termination

FAST = "not browser and not server"
QUICK = f"{FAST} and not slow"
PACK = "coupled"
UNTYPED = "tests"


def steps(host: Path, options: list[str]) -> dict[str, Callable[[], int]]:
    """The steps of `check` by name, each giving its exit status; the options go to pytest."""
    return {
        "format": partial(run_tool, "ruff", "format", "--check", "--quiet", ROOT),
        "lint": partial(run_tool, "ruff", "check", "--quiet", ROOT),
        "types": partial(check_types, ROOT, host),
        "fast tests": partial(
            run_tool, "pytest", "-q", "-rfE", "-n", "auto", "-m", QUICK, *options
        ),
    }


def run_all(steps: dict[str, Callable[[], int]]) -> int:
    """Runs every step, and fails if one of them did."""
    results = [run_step(name, step) for name, step in steps.items()]
    return int(any(results))


def run_step(name: str, step: Callable[[], int]) -> int:
    """The step's exit status; its result and its time are one line."""
    started = time.monotonic()
    status = step()
    result = "failed" if status else "passed"
    print(f"{name}: {result} in {time.monotonic() - started:.1f} s", flush=True)
    return status


def run_tool(module: str, *arguments: str | Path) -> int:
    # The tests share the cores: torch with threads of its own in each process is many times slower.
    variables = {"OMP_NUM_THREADS": "1", **os.environ}
    command = [sys.executable, "-m", module, *map(str, arguments)]
    return subprocess.call(command, cwd=ROOT, env=variables)


def check_types(root: Path, host: Path) -> int:
    """ty over all of the pack but its tests.

    The pack is a package whose name is not its folder's, so ty looks at a copy that has the name.
    """
    with tempfile.TemporaryDirectory() as scratch:
        project = Path(scratch).resolve()
        copy_sources(root, project / PACK)
        # This room has this name, too. Only this one: `nodes` is the host's.
        copy_sources(root / "devtools", project / "top" / "devtools")
        shutil.copy(root / "pyproject.toml", project)
        command = type_command(project, host)
        done = subprocess.run(
            command, stdout=subprocess.PIPE, text=True, encoding="utf-8", cwd=project
        )
    lines = [line.removeprefix(f"{PACK}/") for line in done.stdout.splitlines()]
    if done.returncode:
        print(*lines, sep="\n", flush=True)
    return done.returncode


def type_command(project: Path, host: Path) -> list[str]:
    places = [host, project / "top"]
    return [
        *(sys.executable, "-m", "ty", "check", PACK, "--python", sys.prefix),
        *(part for place in places for part in ("--extra-search-path", str(place.resolve()))),
        *("--output-format", "concise", "--color", "never"),
    ]


def copy_sources(folder: Path, target: Path) -> None:
    """The modules of a package and of the packages in it."""
    target.mkdir(parents=True)
    for file in folder.glob("*.py"):
        shutil.copy(file, target)
    for inner in folder.glob("*/__init__.py"):
        if inner.parent.name != UNTYPED:
            copy_sources(inner.parent, target / inner.parent.name)


def main() -> int:
    parser = argparse.ArgumentParser(prog="dev.py check", description=__doc__)
    parser.add_argument("--host", type=Path, required=True, help=argparse.SUPPRESS)
    options, rest = parser.parse_known_args()
    stop_on_termination()
    try:
        return run_all(steps(options.host, rest))
    except KeyboardInterrupt:
        print("\nStopped.", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
