"""What is measured in processes of their own: peak memory, and how long the pack's import takes."""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path

from devtools.environment import ROOT

STATUS = Path("/proc/self/status")
CLEAR_PEAK = Path("/proc/self/clear_refs")
SET = "set "  # before the name of a step of a set
SETS = SET + "runs"
SHARES = SET + "shares"


def measure_apart(options: argparse.Namespace, what: str) -> float:
    """What the command prints when it is started with `--child what`."""
    command = [sys.executable, "-m", "benchmarks.speed", "--host", str(options.host)]
    command += ["--child", what]
    if options.quick:
        command.append("--quick")
    if options.tokens:
        command += ["--tokens", str(options.tokens)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"Measuring {what} failed:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def measure_peak_bytes(size, what: str) -> int:
    """The most memory that one step takes, weights included: of the GPU, or of the process."""
    import torch

    from .bench import Bench

    bench = Bench(size)
    run_step(bench, what)  # loads what only a first step does
    forget_peak()
    run_step(bench, what)
    if bench.device.type == "cuda":
        return torch.cuda.max_memory_allocated()
    return 1024 * (read_peak_on_linux() or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


def run_step(bench, what: str) -> None:
    """A step of one image, stock or mixed in a mode; or of a set, by the name of its kind."""
    from coupled.schedules import constant

    from .sets import IMAGES, PEAKS

    tokens = bench.size.image_tokens
    if what == "stock":
        bench.stock(1, tokens)
    elif what == SET + "stock":
        bench.stock(IMAGES, tokens)
    elif what.startswith(SET):
        PEAKS[what.removeprefix(SET)].step(bench, IMAGES)
    else:
        bench.coupled(1, tokens, constant(0.5), what)


def forget_peak() -> None:
    """Linux counts a process's peak memory again from here, because making the weights takes more
    than a step does.
    """
    if CLEAR_PEAK.exists():
        CLEAR_PEAK.write_text("5")


def read_peak_on_linux() -> int:
    """KiB since the peak was forgotten; 0 elsewhere."""
    lines = STATUS.read_text().splitlines() if STATUS.exists() else []
    return next((int(line.split()[1]) for line in lines if line.startswith("VmHWM")), 0)


def measure_import_seconds(host: Path) -> float:
    """How long the host waits for the pack and its nodes, the host's own modules being there."""
    import asyncio
    import importlib.util

    sys.path[:] = [p for p in sys.path if Path(p or ".").resolve() != ROOT]
    sys.path.insert(0, str(host))
    from comfy.cli_args import args

    args.cpu = True
    import comfy_api.latest  # noqa: F401

    import nodes  # noqa: F401

    started = time.perf_counter()
    spec = importlib.util.spec_from_file_location(
        "coupled_pack", ROOT / "__init__.py", submodule_search_locations=[str(ROOT)]
    )
    assert spec is not None and spec.loader is not None
    pack = sys.modules["coupled_pack"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(pack)
    asyncio.run(load_schemas(pack))
    return time.perf_counter() - started


async def load_schemas(pack) -> None:
    extension = await pack.comfy_entrypoint()
    for node in await extension.get_node_list():
        node.GET_SCHEMA()
