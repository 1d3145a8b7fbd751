"""Records -> rows: means, spreads and wins of the methods."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from coupled.metrics.score import PRESETS, combined
from coupled.optimize.meter import none_if_nan

from ..store import Key, Record
from .methods import BASELINES, SAME_SEED, Coupled, Method

Row = dict
Run = tuple[str, int]  # (set, seed)


@dataclass(frozen=True)
class Measure:
    """A number of a record and how tables write it; `better` is 1 where more is better, 0 where it
    is no contest.
    """

    name: str
    title: str
    scale: float = 1.0
    digits: int = 2
    better: int = 1

    def format(self, summary: dict | None) -> str:
        if not summary:
            return "–"
        mean = self.scale * summary["mean"]
        spread = self.scale * summary["spread"]
        return f"{mean:.{self.digits}f} ± {spread:.{self.digits}f}"


MEASURES = (
    Measure("f_bg", "f_bg ×10⁻⁴", 1e4, 1),
    Measure("outside", "f_bg outside all regions ×10⁻⁴", 1e4, 1),
    Measure("f_ti", "f_ti"),
    Measure("stated", "combined, stated", 1, 3),
    Measure("tabulated", "combined, tabulated", 1, 3),
    Measure("validity_ratio", "R", better=0),
    Measure("psnr", "PSNR dB", 1, 1),
    Measure("ssim", "SSIM", 1, 3),
    Measure("seconds", "s per image", better=0),
)


def add_scores(records: dict[Key, Record], outside: dict[Key, float | None]) -> list[Record]:
    """The records that did not fail, with the combined scores and f_bg outside all methods'
    regions.
    """
    found = []
    for key, record in records.items():
        if "error" not in record:
            scores = {preset: score(record, preset) for preset in PRESETS}
            found.append({**record, **scores, "outside": outside.get(key)})
    return found


def score(record: Record, preset: str) -> float | None:
    """The combined score; None without both of its parts."""
    if record["f_bg"] is None or record["f_ti"] is None:
        return None
    return none_if_nan(combined(record["f_bg"], record["f_ti"], preset))


def summarize(numbers: Iterable[float | None]) -> dict | None:
    """Mean and spread (standard deviation) of the numbers that there are; None when there is
    none.
    """
    there = [number for number in numbers if number is not None]
    if not there:
        return None
    return {
        "mean": statistics.fmean(there),
        "spread": statistics.pstdev(there),
        "count": len(there),
    }


def make_rows(records: Sequence[Record], methods: Sequence[Method]) -> list[Row]:
    """One row for each method that has made something."""
    made = {method: [r for r in records if r["method"] == method.key] for method in methods}
    return [make_row(method, made[method], records) for method in methods if made[method]]


def make_row(method: Method, own: Sequence[Record], everyones: Sequence[Record]) -> Row:
    """A method's summaries, the share of its results that could be scored, and how it does against
    the baselines.
    """
    wins = None
    if isinstance(method, Coupled):
        wins = {preset: count_wins(own, everyones, preset) for preset in PRESETS}
    return {
        "method": method.key,
        "label": method.label,
        **{measure.name: summarize(r[measure.name] for r in own) for measure in MEASURES},
        "results": len(own),
        "scored": sum(r["f_bg"] is not None for r in own),
        "nearer": times_nearer(own, everyones),
        "wins": wins,
    }


def index_by_run(records: Iterable[Record], method: Method) -> dict[Run, Record]:
    return {(r["set"], r["seed"]): r for r in records if r["method"] == method.key}


def times_nearer(own: Sequence[Record], everyones: Sequence[Record]) -> float | None:
    """How many times nearer to 0 the mean f_bg is than at the same seed, over the runs that both
    could score.
    """
    same = index_by_run(everyones, SAME_SEED)
    pairs = [(same[run]["f_bg"], r["f_bg"]) for r in own if (run := (r["set"], r["seed"])) in same]
    both = [(s, f) for s, f in pairs if s is not None and f is not None]
    total = sum(f for _, f in both)
    return sum(s for s, _ in both) / total if total else None


def count_wins(own: Sequence[Record], everyones: Sequence[Record], preset: str) -> dict:
    """On how many sets the mean combined score over the seeds beats that of every baseline.

    A set counts when all have made it at the same seeds. Who cannot score at a seed loses the set,
    against any who can.
    """
    rivals = [index_by_run(everyones, baseline) for baseline in BASELINES]
    mine = {(r["set"], r["seed"]): r for r in own}
    sets = 0
    lost = []
    for name in sorted({name for name, _ in mine}):
        runs = [run for run in mine if run[0] == name]
        if all(run in rival for rival in rivals for run in runs):
            sets += 1
            if score_set(mine, runs, preset) <= max(score_set(r, runs, preset) for r in rivals):
                lost.append(name)
    return {"sets": sets, "won": sets - len(lost), "lost": lost}


def score_set(made: dict[Run, Record], runs: Sequence[Run], preset: str) -> float:
    """The mean combined score over runs; minus infinity when one has none."""
    scores = [made[run][preset] for run in runs]
    return -math.inf if None in scores else statistics.fmean(scores)
