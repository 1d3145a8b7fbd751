"""What coupling costs: `python3 dev.py bench speed`, written to output/performance.md, .json and
two .svg; --update-docs writes the page to docs/.

Every number is a ratio against the unpatched model in the same process, the two taken in turn. On a
GPU the model is Flux.1-dev's architecture, 12B in bf16; on a CPU a small part of it, at the real
numbers of tokens.
"""

import argparse
import json
import statistics
import sys
from dataclasses import replace

from devtools.pack import load_host

from ..command import add_page_options, choose_page_folder
from .apart import SET, SETS, SHARES, measure_apart, measure_import_seconds, measure_peak_bytes

IMPORTS = 5  # how often the import is measured


def main(arguments: list[str] | None = None) -> int:
    options = parse_options(arguments)
    if options.child == "import":
        print(json.dumps(measure_import_seconds(options.host)))
        return 0
    load_host(options.host)
    import torch

    torch.set_grad_enabled(False)
    if options.child:
        print(json.dumps(measure_as_child(options)))
        return 0
    if options.family:
        return print_families(options.family)
    from .page import format_memory, format_sets, write_page

    if options.sets:
        print(format_sets(measure_sets_of_both(options)))
        print(format_memory(measure_memory_of_sets(options)))
        return 0

    folder = choose_page_folder(options)
    write_page(measure_all(options), folder, options.output)
    print(f"Page: {folder / 'performance.md'}")
    return 0


def parse_options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="dev.py bench speed", description=__doc__)
    add_page_options(parser)
    parser.add_argument(
        "--quick", action="store_true", help="a tiny model: to try the command, not to measure"
    )
    parser.add_argument(
        "--family",
        metavar="NAME",
        help='print what a step with both texts costs in a model family, such as "Z-Image", or'
        ' "all"; nothing is written',
    )
    parser.add_argument(
        "--sets",
        action="store_true",
        help="print what whole runs of sets cost in mode local, in time and memory; nothing is"
        " written",
    )
    parser.add_argument(
        "--tokens",
        type=int,
        choices=(64, 256, 1024, 2304, 4096),
        help="image tokens of the measured steps, in place of 4096: fewer are quicker to measure",
    )
    # One measurement in a process of its own.
    parser.add_argument("--child", help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


def print_families(name: str) -> int:
    from .families import FAMILIES, print_family

    if name not in (*FAMILIES, "all"):
        print(f"There is no family {name!r}; choose one of: {', '.join(FAMILIES)}, or all.")
        return 2
    for one in FAMILIES if name == "all" else [name]:
        print_family(one)
    return 0


def choose_size(options: argparse.Namespace):
    import torch

    from .bench import FLUX_DEV, ON_CPU, QUICK

    size = FLUX_DEV if torch.cuda.is_available() else ON_CPU
    if options.quick:
        size = QUICK
    return replace(size, image_tokens=options.tokens or size.image_tokens)


def measure_as_child(options: argparse.Namespace) -> dict | int:
    """Sets, their regions' shares, or the peak memory of a step. In sets both sides attend by
    torch's own kernel: in a process that has just begun, because the host chooses it once.
    """
    if options.child.startswith(SET):
        from comfy.cli_args import args

        args.use_pytorch_cross_attention = True
    from .bench import Bench
    from .sets import measure_sets, measure_shares

    measure = {SETS: measure_sets, SHARES: measure_shares}.get(options.child)
    if measure is None:
        return measure_peak_bytes(choose_size(options), options.child)
    return measure(Bench(choose_size(options)))


def measure_sets_of_both(options: argparse.Namespace) -> dict:
    """Sets with the host's default attention, and with the same kernel on both sides."""
    from .bench import Bench
    from .sets import measure_sets

    print("Measuring sets …", flush=True)
    own = measure_sets(Bench(choose_size(options)))
    return {"host": own, "same": measure_apart(options, SETS)}


def measure_memory_of_sets(options: argparse.Namespace) -> dict:
    """Peak memory of a set's steps, by that of the stock model's batch."""
    from .sets import PEAKS, compare_peaks

    print("Measuring memory of sets …", flush=True)
    stock = measure_apart(options, SET + "stock")
    size = choose_size(options)
    return {name: compare_peaks(size, measure_apart(options, SET + name), stock) for name in PEAKS}


def measure_all(options: argparse.Namespace) -> dict:
    from .bench import Bench
    from .measure import (
        describe_machine,
        measure_growth,
        measure_runs,
        measure_steps,
    )

    bench = Bench(choose_size(options))
    report = {"machine": describe_machine(bench)}
    parts = {"steps": measure_steps, "runs": measure_runs, "growth": measure_growth}
    for name, measure in parts.items():
        print(f"Measuring {name} …", flush=True)
        report[name] = measure(bench)
    report["sets"] = measure_sets_of_both(options)
    report["shares"] = measure_apart(options, SHARES)
    print("Measuring memory and import …", flush=True)
    peaks = {mode: measure_apart(options, mode) for mode in ("stock", "exact", "local")}
    report["memory"] = {mode: peaks[mode] / peaks["stock"] for mode in ("exact", "local")}
    report["memory_of_sets"] = measure_memory_of_sets(options)
    imports = [measure_apart(options, "import") for _ in range(IMPORTS)]
    report["import_seconds"] = statistics.median(imports)
    return report


if __name__ == "__main__":
    sys.exit(main())
