"""Records -> rows -> Markdown: the tables, by functions that only reckon."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from coupled.metrics.score import PRESETS, combined

from ..store import Key, Record
from .methods import BASELINES, SAME_SEED, Coupled, Method

Row = dict
WORST = {"mean": -math.inf}


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

    def text(self, summary: dict | None) -> str:
        if not summary:
            return "–"
        mean, spread = self.scale * summary["mean"], self.scale * summary["spread"]
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


def enriched(records: dict[Key, Record], outside: dict[Key, float | None]) -> list[Record]:
    """The records that did not fail, with the combined scores and f_bg outside all methods'
    regions.
    """
    found = []
    for key, record in records.items():
        if "error" not in record:
            both = (math.nan if record[name] is None else record[name] for name in ("f_bg", "f_ti"))
            f_bg, f_ti = both
            scores = {preset: none_for_nan(combined(f_bg, f_ti, preset)) for preset in PRESETS}
            found.append({**record, **scores, "outside": outside.get(key)})
    return found


def none_for_nan(number: float) -> float | None:
    return None if math.isnan(number) else number


def summary(numbers: Iterable[float | None]) -> dict | None:
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


def rows(records: Sequence[Record], methods: Sequence[Method]) -> list[Row]:
    """One row for each method that has made something."""
    made = {method: [r for r in records if r["method"] == method.key] for method in methods}
    return [row(method, made[method], records) for method in methods if made[method]]


def row(method: Method, own: Sequence[Record], everyones: Sequence[Record]) -> Row:
    """A method's summaries, the share of its results that could be scored, and how it does against
    the baselines.
    """
    return {
        "method": method.key,
        "label": method.label,
        **{measure.name: summary(r[measure.name] for r in own) for measure in MEASURES},
        "results": len(own),
        "scored": sum(r["f_bg"] is not None for r in own),
        "nearer": nearer(own, everyones),
        "wins": (
            {preset: wins(own, everyones, preset) for preset in PRESETS}
            if isinstance(method, Coupled)
            else None
        ),
    }


def by_run(records: Iterable[Record], method: Method) -> dict[tuple[str, int], Record]:
    return {(r["set"], r["seed"]): r for r in records if r["method"] == method.key}


def nearer(own: Sequence[Record], everyones: Sequence[Record]) -> float | None:
    """How many times nearer to 0 the mean f_bg is than at the same seed, over the runs that both
    could score.
    """
    same = by_run(everyones, SAME_SEED)
    pairs = [(same[run]["f_bg"], r["f_bg"]) for r in own if (run := (r["set"], r["seed"])) in same]
    both = [(s, f) for s, f in pairs if s is not None and f is not None]
    total = sum(f for _, f in both)
    return sum(s for s, _ in both) / total if total else None


def wins(own: Sequence[Record], everyones: Sequence[Record], preset: str) -> dict:
    """On how many sets the mean combined score over the seeds beats that of every baseline.

    A set counts when all have made it at the same seeds. Who cannot score at a seed loses the set,
    against any who can.
    """
    rivals, lost, sets = [by_run(everyones, baseline) for baseline in BASELINES], [], 0
    mine = {(r["set"], r["seed"]): r for r in own}
    for name in sorted({name for name, _ in mine}):
        runs = [run for run in mine if run[0] == name]
        if all(run in rival for rival in rivals for run in runs):
            sets += 1
            best = max(set_score(rival, runs, preset) for rival in rivals)
            score = set_score(mine, runs, preset)
            if score <= best:
                lost.append(name)
    return {"sets": sets, "won": sets - len(lost), "lost": lost}


def set_score(made: dict, runs: Sequence[tuple[str, int]], preset: str) -> float:
    """The mean combined score over runs; minus infinity when one has none."""
    scores = [made[run][preset] for run in runs]
    return -math.inf if None in scores else statistics.fmean(scores)


# --- Markdown ---


def table(head: Sequence[str], body: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *body]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def method_table(found: Sequence[Row], measures: Sequence[Measure] = MEASURES) -> str:
    """Methods × measures, the best mean of each in bold."""
    best = {m.name: bests(found, m) for m in measures}
    head = [
        "Method",
        *(m.title for m in measures),
        "scored",
        "× nearer",
        "beats all baselines (stated, tabulated)",
    ]
    body = []
    for one in found:
        cells = [strong(m.text(one[m.name]), one["method"] in best[m.name]) for m in measures]
        body.append(
            [
                one["label"],
                *cells,
                f"{one['scored']} of {one['results']}",
                ratio(one["nearer"]),
                won(one),
            ]
        )
    return table(head, body)


def bests(found: Sequence[Row], measure: Measure) -> set[str]:
    """The methods whose mean reads best."""
    means = {
        one["method"]: round(measure.scale * one[measure.name]["mean"], measure.digits)
        for one in found
        if one[measure.name] and measure.better
    }
    return {method for method, mean in means.items() if mean == max(means.values())}


def strong(text: str, really: bool) -> str:
    return f"**{text}**" if really else text


def ratio(number: float | None) -> str:
    return "–" if number is None else f"{number:.1f}"


def won(one: Row) -> str:
    if not one["wins"]:
        return "–"
    return ", ".join(f"{w['won']} of {w['sets']}" for w in one["wins"].values())


def sweep_table(found: Sequence[Row], curve_of: Callable[[str], tuple[str, float]]) -> str:
    """Center × (f_bg, f_ti, combined, scored) of the swept curves."""
    few = [
        m for m in MEASURES if m.name in ("f_bg", "f_ti", "stated", "tabulated", "validity_ratio")
    ]
    body = []
    for one in found:
        curve, center = curve_of(one["method"])
        body.append(
            [
                curve,
                f"{center:g}",
                *(m.text(one[m.name]) for m in few),
                f"{one['scored']} of {one['results']}",
            ]
        )
    return table(["Curve", "center", *(m.title for m in few), "scored"], body)


def losses(found: Sequence[Row]) -> str:
    """Where the coupled method that wins most, and among equals scores best, loses; in words."""
    contenders = [one for one in found if one["wins"] and one["wins"]["tabulated"]["sets"]]
    if not contenders:
        return "No set has been made by all methods yet."
    lines = []
    for preset in PRESETS:
        top = max(
            contenders, key=lambda one: (one["wins"][preset]["won"], (one[preset] or WORST)["mean"])
        )
        score = top["wins"][preset]
        lost = ", ".join(score["lost"]) or "none"
        lines.append(
            f"- By the *{preset}* weights **{top['label']}** is the best of the coupled: it beats"
            f" all baselines on {score['won']} of {score['sets']} sets. It loses on: {lost}."
        )
    return "\n".join(lines)


def failures(records: Iterable[Record]) -> str:
    """The results that failed, or could not be scored, in words."""
    failed = [
        f"- {r['set']}, seed {r['seed']}, {r['method']}: {r['error']}"
        for r in records
        if "error" in r
    ]
    return "\n".join(failed) if failed else "None."
