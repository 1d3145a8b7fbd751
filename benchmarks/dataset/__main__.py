"""What making a data set costs beyond sampling: `python3 dev.py bench dataset`, written to
output/dataset.json.

The same sets twice in one process: sampled and decoded alone, and made whole, with measures,
verdict and shards. With --workers also how it scales over Ray's actors on this machine.

With --killed none of this, but whether a run loses anything when one of two actors is killed: it is
compared with an undisturbed one, and fails if their bytes differ.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from devtools.environment import ROOT
from devtools.pack import load_host

from ..command import add_page_options, write_json

EXAMPLE = ROOT / "dataset" / "examples" / "mini.json"
CHUNK = 4  # sets that are made in turn: what else the machine does counts for both
MEGABYTES_A_PICTURE = 1.6  # a PNG of 1024 × 1024, of photographs
FLUX_SECONDS = 7.0  # assumed: an image of Flux.1-dev, 1024 × 1024, 28 steps, on one H100


def main(arguments: list[str] | None = None) -> int:
    options = parse_options(arguments)
    load_host(options.host)
    if options.killed:
        found = measure_killed(options)
        name = "dataset_killed.json"
    else:
        found = measure_all(options)
        name = "dataset.json"
    write_json(options.output / name, found)
    print(json.dumps(found, indent=1))
    return 0 if found.get("same_bytes", True) else 1


def measure_all(options: argparse.Namespace) -> dict:
    return {
        **measure_overhead(options.sets, options.steps),
        "workers": measure_scaling(options) if options.workers else {},
        "on_paper": estimate(8 * 8),
    }


def measure_overhead(sets: int, steps: int) -> dict:
    """Seconds of sampling alone and of making all, and the share that is added: of the time that
    passes, the median over chunks of sets that are made in turn, and of the processor's time.
    """
    from coupled.dataset import run
    from coupled.dataset.filters import Filters
    from coupled.dataset.records import read_records
    from coupled.dataset.settings import Settings
    from coupled.dataset.work import Maker, make_records

    maker = Maker(Settings(steps=steps, filters=Filters("none")))
    records = read_records(EXAMPLE)[:sets]

    def sample(chunk) -> None:
        maker.painter.texts.forget()
        for record in chunk:
            maker.painter.paint(record)

    def make(chunk) -> None:
        maker.painter.texts.forget()
        with tempfile.TemporaryDirectory() as folder:
            store = run.Store(Path(folder), [one.id for one in chunk], CHUNK)
            for record in make_records(maker, store, chunk):
                store.close(store.places[record.id])

    make(records[:1])  # what is done once: packages, the choice of kernels
    chunks = [records[i : i + CHUNK] for i in range(0, len(records), CHUNK)]
    alone, whole = zip(*((clock(sample, one), clock(make, one)) for one in chunks), strict=True)
    ratios = [b.wall / a.wall for a, b in zip(alone, whole, strict=True)]
    images = sum(len(one.split.prompts) for one in records)
    return {
        "sets": len(records),
        "steps": steps,
        "overhead": statistics.median(ratios) - 1,
        "overhead_of_chunks": [ratio - 1 for ratio in ratios],
        "processor_overhead": sum(b.cpu for b in whole) / sum(a.cpu for a in alone) - 1,
        "images_a_second": images / sum(one.wall for one in whole),
    }


class Clocked(NamedTuple):
    """Seconds that passed, and those of the processor."""

    wall: float
    cpu: float


def clock(work: Callable, chunk: Sequence) -> Clocked:
    wall, cpu = time.perf_counter(), time.process_time()
    work(chunk)
    return Clocked(time.perf_counter() - wall, time.process_time() - cpu)


def measure_scaling(options: argparse.Namespace) -> dict[int, dict]:
    """By the number of workers: images a second, and how many times those of the first number,
    for each worker.
    """
    speeds = {n: measure_workers(options, n) for n in options.workers}
    alone = speeds[options.workers[0]] / options.workers[0]
    return {
        n: {"images_a_second": speed, "efficiency": speed / (n * alone)}
        for n, speed in speeds.items()
    }


def measure_workers(options: argparse.Namespace, workers: int) -> float:
    """Images a second of so many of Ray's actors, their start aside."""
    from coupled.dataset import run
    from coupled.dataset.filters import Filters
    from coupled.dataset.settings import Settings
    from devtools.ray_engine import RayEngine

    settings = Settings(steps=options.steps, filters=Filters("none"), per_shard=options.sets)
    times, images = [], []
    with tempfile.TemporaryDirectory() as folder:
        work = run.plan(EXAMPLE, Path(folder) / "set", settings)
        records = list(work.records.values())[: options.sets]
        for record in RayEngine(options.host, workers)(work.settings, work.store, records):
            times.append(time.perf_counter())
            images.append(len(record.split.prompts))
    skip = 2 * workers  # until all actors work
    return sum(images[skip:]) / (times[-1] - times[skip - 1])


def measure_killed(options: argparse.Namespace) -> dict:
    """What `compare_killed` finds on the example's sets."""
    from .killed import compare_killed, write_grammar

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prompts = write_grammar(EXAMPLE, options.sets, folder / "prompts.json")
        return compare_killed(options.host, prompts, folder, ["--steps", str(options.steps)])


def estimate(gpus: int) -> dict:
    """Of a cluster, on paper: nothing is shared but the folder."""
    images = gpus / FLUX_SECONDS
    return {
        "gpus": gpus,
        "assumed_seconds_an_image": FLUX_SECONDS,
        "images_a_second": images,
        "megabytes_a_second_to_disk": images * 1.5 * MEGABYTES_A_PICTURE,
        "megabytes_a_second_from_a_machine": 8 * images / gpus * 1.5 * MEGABYTES_A_PICTURE,
        "terabytes_a_million_images": 1.5 * MEGABYTES_A_PICTURE,
    }


def parse_options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="dev.py bench dataset", description=__doc__)
    add_page_options(parser)
    parser.add_argument("--sets", type=int, default=20)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--workers", type=int, nargs="*", default=[], help="such as 1 2")
    parser.add_argument("--killed", action="store_true", help="kill one of two actors, and compare")
    options = parser.parse_args(arguments)
    if options.sets <= 2 * max(options.workers, default=0):
        parser.error("--sets must be more than twice the workers: the first sets do not count")
    return options


if __name__ == "__main__":
    sys.exit(main())
