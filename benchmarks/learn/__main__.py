"""Learns theta on Mini Flux and shows what it is worth on held-out sets: `python3 dev.py optimize
--minutes 20`.

Writes learned.md with its pictures and numbers to output/, and the schedule to output/theta, where
Load Theta finds it; --update-docs writes the page to docs/. Everything is kept in .work/optimize: a
run that was stopped goes on where it stopped. `--worker` helps such a run from another process or
machine, and writes nothing itself; `--study` (or COUPLED_STUDY_URL) names the database or journal
that they share.
"""

import argparse
import math
import os
import sys
import time
from pathlib import Path

from devtools.environment import OUTPUT, ROOT
from devtools.pack import load_host

from ..command import add_page_options, choose_page_folder

WORK = ROOT / ".work" / "optimize"


def main(arguments: list[str] | None = None) -> int:
    options = parse_options(arguments)
    load_host(options.host)
    try:
        run(options)
    except (FileNotFoundError, ImportError, ValueError) as error:
        print(f"The learning stopped: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(
            "\nStopped; the study holds what there is, and the next run goes on from here.",
            file=sys.stderr,
        )
        return 130
    return 0


def run(options: argparse.Namespace) -> None:
    """Learns for so many minutes; then, but for a worker, measures on held-out sets and writes the
    page.
    """
    from coupled.optimize import Learning, open_storage
    from coupled.optimize.report import report

    from ..store import Store
    from .page import Page
    from .task import make_mini_task
    from .trial import Trial

    task = make_mini_task(options.sets, options.seeds, options.steps, options.candidates)
    worker = os.getpid() if options.worker else 0
    learning = Learning(task, open_storage(options.study), "mini", worker, CandidateLines())
    learning.run(options.minutes)
    print(report(learning), flush=True)
    if options.worker:
        return
    store = Store(options.work / "held-out")
    trial = Trial(learning, store, options.held_out, options.held_out_seeds)
    trial.run()
    folder = choose_page_folder(options)
    Page(learning, trial, folder, options.output, options.schedules).write()
    print(f"Page: {folder / 'learned.md'}")


class CandidateLines:
    """A line on the terminal for each candidate."""

    def __init__(self):
        self.started = time.monotonic()

    def __call__(self, learning) -> None:
        if learning.measuring:
            return
        best = learning.best()
        minutes = (time.monotonic() - self.started) / 60
        print(
            f"{minutes:5.1f} min, {len(learning.candidates())} candidates, best"
            f" {best.score(learning.weights):.4f} ({best.stage})",
            flush=True,
        )


def parse_options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="dev.py optimize", description=__doc__)
    add_page_options(parser)
    parser.add_argument(
        "--minutes",
        type=float,
        default=math.inf,
        help="learn for so long; the measuring comes after",
    )
    parser.add_argument("--worker", action="store_true", help="help a run that is under way")
    parser.add_argument(
        "--study",
        default=os.environ.get("COUPLED_STUDY_URL") or str(WORK / "study.db"),
        help="database URL, journal file (.journal) or SQLite file",
    )
    parser.add_argument(
        "--candidates", type=int, default=100, help="how many schedules are tried in all"
    )
    parser.add_argument("--sets", type=int, default=48, help="how many training sets")
    parser.add_argument("--seeds", type=int, default=1, help="how many seeds of each")
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--held-out", type=int, default=None, help="how many held-out sets (all)")
    parser.add_argument("--held-out-seeds", type=int, default=3, help="how many seeds of each")
    parser.add_argument("--work", type=Path, default=WORK, help="where results are kept")
    parser.add_argument(
        "--schedules",
        type=Path,
        default=OUTPUT / "theta",
        help="where the schedule goes; schedules/learned ships with the pack",
    )
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
