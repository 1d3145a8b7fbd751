"""The paper's tables: `python3 dev.py bench quality`, written to output/quality.md, its pictures to
output/quality/ and its numbers to output/quality.json.

On the mini models, or with --flux on your own Flux.1-dev, Segment Anything and CLIP files at the
paper's own settings. Every result is kept in .work/quality: a run that was stopped goes on where it
stopped. --update-docs writes page and pictures to docs/, but not when the run is interrupted.
"""

import argparse
import dataclasses
import math
import sys
from pathlib import Path

from devtools.environment import ROOT
from devtools.pack import load_host

from ..command import add_page_options, choose_page_folder

FILES = ("unet", "clip-l", "t5", "vae", "sam", "clip-weights")


def main(arguments: list[str] | None = None) -> int:
    options = parse_options(arguments)
    load_host(options.host)
    try:
        run(options)
    except (FileNotFoundError, ValueError) as error:
        # A file that is missing or of another kind; no results to write of.
        print(f"The benchmark stopped: {error}", file=sys.stderr)
        return 1
    return 0


def run(options: argparse.Namespace) -> None:
    """Makes what is missing, then writes the tables of all that there is."""
    from ..sets import held_out_sets, paper_sets
    from ..store import Store
    from .page import Page
    from .paint import JobPainter
    from .run import make_results, plan_jobs

    bench = load_bench(options)
    painter = JobPainter(bench.model, bench.clip, bench.vae, bench.latent, bench.steps)
    sets = paper_sets() + ([] if options.flux else held_out_sets()[: options.sets])
    jobs = plan_jobs(sets, options.seeds)
    store = Store(options.work / bench.name)
    interrupted = False
    try:
        make_results(jobs, painter, bench.meter, store, options.minutes)
    except KeyboardInterrupt:
        interrupted = True
        print(
            "\nStopped; the tables hold what there is, and the next run goes on from here.",
            file=sys.stderr,
        )
    stem = "quality-flux" if options.flux else "quality"
    folder = choose_page_folder(options, interrupted)
    Page(bench.title, stem, sets, store, folder, options.output).write()
    print(f"Tables: {folder / stem}.md")


def parse_options(arguments: list[str] | None) -> argparse.Namespace:
    """The options, checked; argparse ends the program with advice when something is missing."""
    parser = argparse.ArgumentParser(prog="dev.py bench quality", description=__doc__)
    add_page_options(parser)
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
    missing = [f"--{name}" for name in FILES if not getattr(options, name.replace("-", "_"))]
    if options.flux and missing:
        parser.error(f"--flux needs your own files: {' '.join(missing)}")
    return options


def load_bench(options: argparse.Namespace):
    from ..models import FluxFiles, load_flux_bench, load_mini_bench

    if not options.flux:
        return load_mini_bench(options.steps or 30)
    fields = [field.name for field in dataclasses.fields(FluxFiles)]
    files = FluxFiles(**{name: getattr(options, name) for name in fields})
    return load_flux_bench(files, options.size, options.steps or 50)


if __name__ == "__main__":
    sys.exit(main())
