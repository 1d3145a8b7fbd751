"""What coupling costs: `python3 dev.py bench speed`, written to docs/performance.md, .json and two
.svg.

Every number is a ratio against the unpatched model in the same process, the two taken in turn. On a
GPU the model is Flux.1-dev's architecture, 12B in bf16; on a CPU a small part of it, at the real
numbers of tokens.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

from devtools.environment import ROOT
from devtools.pack import load_pack

STATUS, CLEAR_PEAK = Path("/proc/self/status"), Path("/proc/self/clear_refs")
MEMORY, IMPORT = ("stock", "exact", "local"), 5
HALF, MIXED, ENDS = 0.5, ("exact", "local", "paper"), (0.0, 1.0)


def main(arguments: list[str] | None = None) -> int:
    options = parsed(arguments)
    if options.child == "import":
        print(json.dumps(import_seconds(options.host)))
        return 0
    load_pack(options.host)
    import comfy.utils
    import torch

    comfy.utils.set_progress_bar_enabled(False)
    torch.set_grad_enabled(False)
    if options.child:
        print(json.dumps(peak_bytes(size_of(options), options.child)))
        return 0
    from .page import write

    write(report(options), options.docs)
    print(f"Page: {options.docs / 'performance.md'}")
    return 0


def parsed(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks.speed", description=__doc__)
    parser.add_argument("--host", type=Path, required=True, help="the ComfyUI folder")
    parser.add_argument(
        "--quick", action="store_true", help="a tiny model: to try the command, not to measure"
    )
    parser.add_argument("--docs", type=Path, default=ROOT / "docs", help="where the page goes")
    parser.add_argument(
        "--child", help=argparse.SUPPRESS
    )  # one measurement in a process of its own
    return parser.parse_args(arguments)


def size_of(options: argparse.Namespace):
    import torch

    from .bench import FLUX_DEV, ON_CPU, QUICK

    return QUICK if options.quick else FLUX_DEV if torch.cuda.is_available() else ON_CPU


def report(options: argparse.Namespace) -> dict:
    """All that is measured."""
    from .bench import Bench

    bench = Bench(size_of(options))
    found = {"machine": machine(bench)}
    for name, part in (("steps", steps), ("runs", runs), ("growth", growth)):
        print(f"Measuring {name} …", flush=True)
        found[name] = part(bench)
    print("Measuring memory and import …", flush=True)
    peaks = {which: child(options, which) for which in MEMORY}
    found["memory"] = {which: peaks[which] / peaks["stock"] for which in MEMORY[1:]}
    found["import_seconds"] = statistics.median(child(options, "import") for _ in range(IMPORT))
    return found


def steps(bench) -> dict:
    """One step at every kind of theta, one image and four."""
    from coupled.schedules import constant

    from .bench import interleaved, ratio

    size, found = bench.size, {}
    for n in (1, min(4, max(size.growth_images))):
        cases = {"stock": partial(bench.stock, n, size.image_tokens)}
        cases |= {
            f"mixed, {mode}": partial(bench.coupled, n, size.image_tokens, constant(HALF), mode)
            for mode in MIXED[: 3 if n == 1 else 2]
        }
        if n == 1:
            cases |= {
                f"theta {theta:g}, exact": partial(
                    bench.coupled, n, size.image_tokens, constant(theta), "exact"
                )
                for theta in ENDS
            }
        seconds = interleaved(bench, cases, size.repeats if n == 1 else max(2, size.repeats - 2))
        stock = seconds.pop("stock")
        found |= {f"{name}, batch {n}": ratio(own, stock) for name, own in seconds.items()}
    return found


def runs(bench) -> dict:
    """Whole runs of a set against the same images in a batch of the stock model."""
    from coupled.schedules import family

    from .bench import interleaved, ratio

    # arctan is mixed at every step: the most that a run can cost.
    schedules = {"sin 12": family("sin"), "arctan 12": family("arctan")}
    (tokens, count), found = bench.size.run, {}
    for n in (4, 8) if max(bench.size.growth_images) >= 8 else (2,):
        cases = {"stock": partial(bench.stock, n, tokens, count)}
        cases |= {
            f"{name}, {mode}": partial(bench.coupled, n, tokens, schedule, mode, count)
            for name, schedule in schedules.items()
            for mode in ("exact", "local")
            if n == 4 or name == "sin 12" or n == 2
        }
        seconds = interleaved(bench, cases, 3 if n == 4 else 1)
        stock = seconds.pop("stock")
        found |= {f"{name}, n = {n}": ratio(own, stock) for name, own in seconds.items()}
    return found


def growth(bench) -> dict:
    """A mixed step over the number of image tokens, and over the number of images; beside what the
    FLOPs tell.
    """
    from coupled.schedules import constant

    from .bench import interleaved, ratio

    size, found = bench.size, {"tokens": [], "images": []}
    for n, tokens, where in [(1, t, "tokens") for t in size.growth_tokens] + [
        (n, size.growth_tokens[0], "images") for n in size.growth_images
    ]:
        mixed = partial(bench.coupled, n, tokens, constant(HALF), "exact")
        alone = partial(bench.stock, 1 if where == "images" else n, tokens)
        seconds = interleaved(bench, {"stock": alone, "mixed": mixed}, 3)
        expected = size.flops(n, tokens, 2) / size.flops(1, tokens, 1)
        at = tokens if where == "tokens" else n
        found[where].append(
            {"at": at, "expected": expected, **ratio(seconds["mixed"], seconds["stock"])}
        )
    return found


def machine(bench) -> dict:
    """What it was measured on."""
    import platform

    import torch

    name = (
        torch.cuda.get_device_name()
        if bench.device.type == "cuda"
        else processor() or platform.machine()
    )
    size = bench.size
    return {
        "device": name,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "dtype": str(size.dtype),
        "width": size.width,
        "double": size.double,
        "single": size.single,
        "text": size.text,
        "image_tokens": size.image_tokens,
        "run": size.run,
        "load": round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None,
    }


def processor() -> str:
    """The CPU's name on Linux."""
    file = Path("/proc/cpuinfo")
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), "")


# --- in processes of their own ---


def child(options: argparse.Namespace, what: str) -> float:
    quick = ["--quick"] * options.quick
    command = [
        sys.executable,
        "-m",
        "benchmarks.speed",
        "--host",
        str(options.host),
        *quick,
        "--child",
        what,
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"Measuring {what} failed:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def peak_bytes(size, mode: str) -> int:
    """The most memory that one step takes, weights included: of the GPU, or of the process."""
    import torch

    from coupled.schedules import constant

    from .bench import Bench

    bench = Bench(size)
    forget_peak()
    if mode == "stock":
        bench.stock(1, size.image_tokens)
    else:
        bench.coupled(1, size.image_tokens, constant(HALF), mode)
    if bench.device.type == "cuda":
        return torch.cuda.max_memory_allocated()
    return 1024 * (peak_on_linux() or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


def forget_peak() -> None:
    """Linux counts a process's peak memory anew, because making the weights takes more than a step
    does.
    """
    if CLEAR_PEAK.exists():
        CLEAR_PEAK.write_text("5")


def peak_on_linux() -> int:
    """KiB since the peak was forgotten; 0 elsewhere."""
    lines = STATUS.read_text().splitlines() if STATUS.exists() else []
    return next((int(line.split()[1]) for line in lines if line.startswith("VmHWM")), 0)


def import_seconds(host: Path) -> float:
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
    pack = sys.modules["coupled_pack"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(pack)

    async def load():
        for node in await (await pack.comfy_entrypoint()).get_node_list():
            node.GET_SCHEMA()

    asyncio.run(load())
    return time.perf_counter() - started


if __name__ == "__main__":
    sys.exit(main())
