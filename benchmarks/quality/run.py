"""Makes one result after the other; what is done already is not done again."""

from __future__ import annotations

import math
import time

import torch

from coupled.metrics.background import background_similarity
from coupled.optimize import ModelMeter
from coupled.optimize.meter import none_if_nan

from ..sets import NamedSet, select_sweep_sets
from ..store import Key, Record, Store
from .methods import MAIN, MODES, SWEEP, TABLE_4, Method
from .paint import Job, JobPainter, measure


def plan_jobs(sets: list[NamedSet], seeds: int) -> list[Job]:
    """All results of all tables, each once, the main table's first."""
    swept = select_sweep_sets(sets)
    stages = [(seed, sets, MAIN) for seed in range(1, seeds + 1)]
    stages += [(seed, swept, (*TABLE_4, *MODES)) for seed in range(1, seeds + 1)]
    stages.append((1, swept, SWEEP))
    jobs = (
        Job(one, seed, method)
        for seed, group, methods in stages
        for one in group
        for method in methods
    )
    return list(dict.fromkeys(jobs))


def make_results(
    jobs: list[Job],
    painter: JobPainter,
    meter: ModelMeter,
    store: Store,
    minutes: float = math.inf,
) -> None:
    """Makes what is not in the store yet; a result that fails is recorded with its error, and tried
    again next time.

    Stops after `minutes`, between two results.
    """
    done = store.records()
    end = time.monotonic() + 60 * minutes
    for number, job in enumerate(jobs, 1):
        if time.monotonic() >= end:
            print(f"Stopped after {minutes:g} minutes; the next run goes on from here.")
            return
        if job.key in done and "error" not in done[job.key]:
            continue
        record = {
            "set": job.set.name,
            "seed": job.seed,
            "method": job.method.key,
            "group": job.set.group,
            "n": len(job.set.prompts),
        }
        try:
            record |= make_result(job, painter, meter, store)
        except Exception as error:  # whatever it is, the other results are worth having
            record["error"] = f"{type(error).__name__}: {error}"
        store.append(record)
        print(f"{number}/{len(jobs)} {describe_result(job, record)}", flush=True)


def make_result(job: Job, painter: JobPainter, meter: ModelMeter, store: Store) -> Record:
    """Paints and measures one job. The images are measured as they are saved, at 8 bits."""
    n = len(job.set.prompts)
    started = time.perf_counter()
    images_NHWC = painter.paint(job)
    seconds = time.perf_counter() - started
    store.save(job.key, "images", images_NHWC)
    images_NHWC = store.load(job.key, "images", n)
    masks_NHW = meter.masks(images_NHWC)
    store.save(job.key, "masks", masks_NHW)
    numbers = measure(meter, images_NHWC, masks_NHW, job.set.prompts)
    return {"seconds": round(seconds / n, 3), **numbers}


def describe_result(job: Job, record: Record) -> str:
    where = f"{job.set.name}, seed {job.seed}, {job.method.label}"
    if "error" in record:
        return f"{where}: failed: {record['error']}"
    f_bg = "none" if record["f_bg"] is None else f"{1e4 * record['f_bg']:.2f}e-4"
    return f"{where}: f_bg {f_bg}, f_ti {record['f_ti']:.2f}, {record['seconds']:.1f} s per image"


def measure_outside_all_regions(
    records: dict[Key, Record], store: Store, methods: tuple[Method, ...] = MAIN
) -> dict[Key, float | None]:
    """{key: f_bg outside the union of all methods' joint regions}, for the sets and seeds that all
    have tried.

    A method that failed there has no region.
    """
    found = {}
    for name, seed in sorted({key[:2] for key in records}):
        keys = [(name, seed, method.key) for method in methods]
        if all(key in records for key in keys):
            made = [key for key in keys if "error" not in records[key]]
            found |= measure_outside_regions(made, records[keys[0]]["n"], store)
    return found


def measure_outside_regions(keys: list[Key], n: int, store: Store) -> dict[Key, float | None]:
    """f_bg of each result outside the joint regions of all of them."""
    masks = {key: store.load(key, "masks", n) for key in keys}
    if not masks:
        return {}
    region_HW = torch.cat(list(masks.values())).amax(0)
    found = {}
    for key, masks_NHW in masks.items():
        images_NHWC = store.load(key, "images", n)
        found[key] = none_if_nan(background_similarity(images_NHWC, masks_NHW, region_HW).f_bg)
    return found
