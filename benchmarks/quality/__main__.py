"""The paper's tables: `python3 dev.py bench quality`, written to docs/quality.md, docs/quality.json
and docs/quality/.

On the mini models, or with --flux on your own Flux.1-dev, Segment Anything and CLIP files at the
paper's own settings. Every result is kept in .work/quality: a run that was stopped goes on where it
stopped.
"""

import argparse
import dataclasses
import math
import sys
from pathlib import Path

from devtools.environment import OUTPUT, ROOT
from devtools.pack import load_pack

FILES = ("unet", "clip-l", "t5", "vae", "sam", "clip-weights")


def main(arguments: list[str] | None = None) -> int:
    options = parsed(arguments)
    load_pack(options.host)
    import comfy.utils

    comfy.utils.set_progress_bar_enabled(False)
    try:
        measure(options)
    except (
        FileNotFoundError,
        ValueError,
    ) as error:  # a file that is missing or of another kind; nothing to tell
        print(f"The benchmark stopped: {error}", file=sys.stderr)
        return 1
    return 0


def measure(options: argparse.Namespace) -> None:
    """Makes what is missing, then writes the tables of all that there is."""
    from ..sets import held_out_sets, paper_sets
    from ..store import Store
    from .page import Page
    from .run import planned, run

    bench = bench_of(options)
    sets = paper_sets() + ([] if options.flux else held_out_sets()[: options.sets])
    store = Store(options.work / bench.name)
    stem = "quality-flux" if options.flux else "quality"
    try:
        run(planned(sets, options.seeds), bench.painter, bench.meter, store, options.minutes)
    except KeyboardInterrupt:
        print(
            "\nStopped; the tables hold what there is, and the next run goes on from here.",
            file=sys.stderr,
        )
    Page(bench.title, stem, sets, store, options.docs, options.output / stem).write()
    print(f"Tables: {options.docs / stem}.md")


def parsed(arguments: list[str] | None) -> argparse.Namespace:
    """The options, checked; argparse ends the program with advice when something is missing."""
    parser = argparse.ArgumentParser(prog="benchmarks.quality", description=__doc__)
    parser.add_argument("--host", type=Path, required=True, help="the ComfyUI folder")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--sets", type=int, default=None, help="how many held-out sets (all)")
    parser.add_argument("--steps", type=int, default=None, help="30; with --flux 50")
    parser.add_argument(
        "--minutes",
        type=float,
        default=math.inf,
        help="stop after so long; 0 only writes the tables",
    )
    parser.add_argument(
        "--work", type=Path, default=ROOT / ".work" / "quality", help="where results are kept"
    )
    parser.add_argument("--docs", type=Path, default=ROOT / "docs", help="where the tables go")
    parser.add_argument(
        "--output", type=Path, default=OUTPUT, help="where the other contact sheets go"
    )
    parser.add_argument(
        "--flux", action="store_true", help="your own models in place of the mini ones"
    )
    for name in FILES:
        parser.add_argument(
            f"--{name}", help="with --flux: a path, or a name in ComfyUI's model folders"
        )
    parser.add_argument(
        "--clip-model", default="ViT-B-32-quickgelu", help="open_clip's name of the CLIP model"
    )
    parser.add_argument("--weight-dtype", default="default", help="as in Load Diffusion Model")
    parser.add_argument("--size", type=int, default=1024, help="with --flux: pixels")
    options = parser.parse_args(arguments)
    missing = [
        f"--{name}"
        for name in FILES
        if options.flux and not getattr(options, name.replace("-", "_"))
    ]
    if missing:
        parser.error(f"--flux needs your own files: {' '.join(missing)}")
    return options


def bench_of(options: argparse.Namespace):
    from ..models import FluxFiles, flux_bench, mini_bench

    if not options.flux:
        return mini_bench(options.steps or 30)
    fields = [field.name for field in dataclasses.fields(FluxFiles)]
    files = FluxFiles(**{name: getattr(options, name) for name in fields})
    return flux_bench(files, options.size, options.steps or 50)


if __name__ == "__main__":
    sys.exit(main())
