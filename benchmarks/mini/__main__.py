"""What the mini models can do: `python3 dev.py bench mini`, printed and written to
WORK/report.json.

On held-out pairs of subject and place: the share whose subject and place a separately trained judge
finds right, and how well Mini SAM and Mini CLIP do on drawn scenes. On sets of two subjects in one
place: f_bg at the same seed, stock and coupled in mode local, and in mode exact at several centers.

The judge is trained on scenes drawn for it the first time (minutes), and kept in WORK.
"""

import argparse
import json
import sys
from pathlib import Path

from devtools.environment import ROOT
from devtools.pack import load_pack


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="bench mini", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--host", type=Path, required=True, help="the ComfyUI folder")
    parser.add_argument(
        "--work", type=Path, default=ROOT / ".work" / "bench-mini", help="where the judge is kept"
    )
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--sets", type=int, default=24)
    parser.add_argument(
        "--quick", action="store_true", help="a few of each: to try the command, not to measure"
    )
    return parser.parse_args(arguments)


def main() -> int:
    options = parse(sys.argv[1:])
    load_pack(options.host)
    return run(options)


def run(options: argparse.Namespace) -> int:
    from .measure import QUICK, MiniBench, Size

    size = QUICK if options.quick else Size(seeds=options.seeds, sets=options.sets)
    work = options.work / "quick" if options.quick else options.work
    work.mkdir(parents=True, exist_ok=True)
    report = json.dumps(MiniBench(work, size).report(), indent=2)
    print(report)
    (work / "report.json").write_text(report + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
