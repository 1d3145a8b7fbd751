"""Rows -> Markdown."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from coupled.metrics.score import PRESETS

from ..store import Record
from .methods import SWEPT
from .scores import MEASURES, Measure, Row

NO_SCORE = {"mean": -math.inf}
OF_SWEEP = ("f_bg", "f_ti", "stated", "tabulated", "validity_ratio")


def format_table(head: Sequence[str], body: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *body]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def format_method_table(rows: Sequence[Row], measures: Sequence[Measure] = MEASURES) -> str:
    """Methods × measures, the best mean of each in bold."""
    best = {m.name: find_best(rows, m) for m in measures}
    titles = [m.title for m in measures]
    wins = "beats all baselines (stated, tabulated)"
    body = []
    for row in rows:
        cells = [row["label"]]
        for m in measures:
            text = m.format(row[m.name])
            cells.append(f"**{text}**" if row["method"] in best[m.name] else text)
        body.append([*cells, format_scored(row), format_nearer(row), format_wins(row)])
    return format_table(["Method", *titles, "scored", "× nearer", wins], body)


def find_best(rows: Sequence[Row], measure: Measure) -> set[str]:
    """The methods whose mean reads best."""
    means = {
        row["method"]: round(measure.scale * row[measure.name]["mean"], measure.digits)
        for row in rows
        if row[measure.name] and measure.better
    }
    return {method for method, mean in means.items() if mean == max(means.values())}


def format_scored(row: Row) -> str:
    return f"{row['scored']} of {row['results']}"


def format_nearer(row: Row) -> str:
    return "–" if row["nearer"] is None else f"{row['nearer']:.1f}"


def format_wins(row: Row) -> str:
    if not row["wins"]:
        return "–"
    return ", ".join(f"{w['won']} of {w['sets']}" for w in row["wins"].values())


def format_sweep_table(rows: Sequence[Row]) -> str:
    """Center × (f_bg, f_ti, combined, scored) of the swept curves."""
    measures = [m for m in MEASURES if m.name in OF_SWEEP]
    body = []
    for row in rows:
        method = SWEPT[row["method"]]
        cells = [m.format(row[m.name]) for m in measures]
        body.append([method.curve, f"{method.center:g}", *cells, format_scored(row)])
    return format_table(["Curve", "center", *(m.title for m in measures), "scored"], body)


def describe_losses(rows: Sequence[Row]) -> str:
    """Where the coupled method that wins most, and among equals scores best, loses; in words."""
    contenders = [row for row in rows if row["wins"] and row["wins"]["tabulated"]["sets"]]
    if not contenders:
        return "No set has been made by all methods yet."
    return "\n".join(describe_winner(contenders, preset) for preset in PRESETS)


def describe_winner(contenders: Sequence[Row], preset: str) -> str:
    top = max(
        contenders, key=lambda row: (row["wins"][preset]["won"], (row[preset] or NO_SCORE)["mean"])
    )
    wins = top["wins"][preset]
    return (
        f"- By the *{preset}* weights **{top['label']}** is the best of the coupled: it beats"
        f" all baselines on {wins['won']} of {wins['sets']} sets. It loses on:"
        f" {', '.join(wins['lost']) or 'none'}."
    )


def describe_failures(records: Iterable[Record]) -> str:
    """The results that failed, in words."""
    failed = [
        f"- {r['set']}, seed {r['seed']}, {r['method']}: {r['error']}"
        for r in records
        if "error" in r
    ]
    return "\n".join(failed) or "None."
