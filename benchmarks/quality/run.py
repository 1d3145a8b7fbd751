"""Paints and measures one result after the other; what is done already is not done again."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable
from dataclasses import dataclass

import torch

from coupled import baselines
from coupled.attention import couple, encode_set
from coupled.metrics.background import background_similarity
from coupled.metrics.visible import psnr, ssim
from coupled.sampling import sample_set

from ..sets import PromptSet, sweep_sets
from ..store import Key, Record, Store
from .methods import FULL_PROMPT, MAIN, MODES, SWEEP, TABLE_4, Baseline, Method

MOST_DB = 100.0  # the PSNR of backgrounds that are the same, where it would be infinite
GUIDANCE = 3.5


@dataclass(frozen=True)
class Job:
    """One result to be made."""

    set: PromptSet
    seed: int
    method: Method

    @property
    def key(self) -> Key:
        return self.set.name, self.seed, self.method.key


def planned(sets: list[PromptSet], seeds: int) -> list[Job]:
    """All results of all tables, each once, the main table's first."""
    swept = sweep_sets(sets)
    stages = [(seed, sets, MAIN) for seed in range(1, seeds + 1)]
    stages += [(seed, swept, (*TABLE_4, *MODES)) for seed in range(1, seeds + 1)] + [
        (1, swept, SWEEP)
    ]
    jobs = (
        Job(one, seed, method)
        for seed, group, methods in stages
        for one in group
        for method in methods
    )
    return list(dict.fromkeys(jobs))


class Painter:
    """Makes the images of a set by any method, from the same noise with the same sampler and
    steps.
    """

    def __init__(self, model, clip, vae, latent: dict, steps: int):
        self.model, self.clip, self.vae, self.latent, self.steps = model, clip, vae, latent, steps

    def paint(self, job: Job) -> torch.Tensor:
        """Images [n, H, W, 3] in [0, 1]."""
        make = self.baseline if isinstance(job.method, Baseline) else self.coupled
        samples = make(job)["samples"]
        # One by one: n at 1024 × 1024 may not fit, and no image shall depend on its neighbours.
        return torch.cat([self.vae.decode(sample) for sample in samples.split(1)]).clamp(0, 1)

    def baseline(self, job: Job) -> dict:
        make = getattr(baselines, job.method.function)
        return make(
            self.model,
            self.clip,
            job.set.prompts,
            self.latent,
            job.seed,
            self.steps,
            guidance=GUIDANCE,
        )

    def coupled(self, job: Job) -> dict:
        method, prompts = job.method, job.set
        texts = prompts.prompts if method.entity_text == FULL_PROMPT else prompts.entities
        positive = encode_set(self.clip, prompts.background, texts, GUIDANCE)
        model = couple(self.model, method.theta(), method.mode)
        return sample_set(model, positive, self.latent, job.seed, self.steps)


class Meter:
    """Measures finished images with a segmenter, asked at so many points per side, and a CLIP
    model.
    """

    def __init__(self, segmenter, clip_model, points_per_side: int = 16):
        self.segmenter, self.clip_model, self.points_per_side = (
            segmenter,
            clip_model,
            points_per_side,
        )

    def masks(self, images_NHWC: torch.Tensor, entities: Iterable[str]) -> torch.Tensor:
        from coupled.metrics.segment import segment_entities

        return segment_entities(
            self.segmenter, images_NHWC, list(entities), self.points_per_side
        ).cpu()

    def measures(
        self, images_NHWC: torch.Tensor, masks_NHW: torch.Tensor, prompts: Iterable[str]
    ) -> Record:
        """The numbers of one result; None where there is none, and the reason."""
        from coupled.metrics.alignment import text_alignment

        found = background_similarity(images_NHWC, masks_NHW)
        aligned = text_alignment(self.clip_model, images_NHWC, list(prompts))
        seen = found.reason is None
        return {
            "f_bg": known(found.f_bg),
            "validity_ratio": found.validity_ratio,
            "f_ti": known(sum(aligned) / len(aligned)),
            "psnr": known(min(psnr(images_NHWC, found.joint_region_HW), MOST_DB)) if seen else None,
            "ssim": known(ssim(images_NHWC, found.joint_region_HW)) if seen else None,
            "reason": found.reason,
        }


def known(number: float) -> float | None:
    """JSON has no NaN."""
    return number if math.isfinite(number) else None


def run(
    jobs: list[Job], painter: Painter, meter: Meter, store: Store, minutes: float = math.inf
) -> None:
    """Makes what is not in the store yet; a result that fails is recorded with its error, and tried
    again next time.

    Stops after `minutes`, between two results.
    """
    done, end = store.records(), time.monotonic() + 60 * minutes
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
            record |= result(job, painter, meter, store)
        except Exception as error:  # whatever it is, the other results are worth having
            record["error"] = f"{type(error).__name__}: {error}"
        store.append(record)
        print(progress_line(number, len(jobs), job, record), flush=True)


def result(job: Job, painter: Painter, meter: Meter, store: Store) -> Record:
    """Paints and measures one job. The images are measured as they are saved, at 8 bits."""
    started = time.perf_counter()
    images_NHWC = painter.paint(job)
    seconds = time.perf_counter() - started
    n = len(job.set.prompts)
    store.save(job.key, "images", images_NHWC)
    images_NHWC = store.load(job.key, "images", n)
    masks_NHW = meter.masks(images_NHWC, job.set.entities)
    store.save(job.key, "masks", masks_NHW)
    return {
        "seconds": round(seconds / n, 3),
        **meter.measures(images_NHWC, masks_NHW, job.set.prompts),
    }


def progress_line(number: int, total: int, job: Job, record: Record) -> str:
    where = f"{number}/{total} {job.set.name}, seed {job.seed}, {job.method.label}"
    if "error" in record:
        return f"{where}: failed: {record['error']}"
    f_bg = "none" if record["f_bg"] is None else f"{1e4 * record['f_bg']:.2f}e-4"
    return f"{where}: f_bg {f_bg}, f_ti {record['f_ti']:.2f}, {record['seconds']:.1f} s per image"


def outside_all_regions(
    records: dict[Key, Record], store: Store, methods: tuple[Method, ...] = MAIN
) -> dict:
    """{key: f_bg outside the union of all methods' joint regions}, for the sets and seeds that all
    have tried.

    A method that failed there has no region.
    """
    found = {}
    for name, seed in sorted({key[:2] for key in records}):
        keys = [(name, seed, method.key) for method in methods]
        if all(key in records for key in keys):
            made = [key for key in keys if "error" not in records[key]]
            found |= outside_region_of(made, records[keys[0]]["n"], store)
    return found


def outside_region_of(keys: list[Key], n: int, store: Store) -> dict[Key, float | None]:
    """f_bg of each result outside the joint regions of all of them."""
    masks = {key: store.load(key, "masks", n) for key in keys}
    region_HW = torch.cat(list(masks.values())).amax(0) if masks else None
    return {
        key: known(background_similarity(store.load(key, "images", n), mask_NHW, region_HW).f_bg)
        for key, mask_NHW in masks.items()
    }
