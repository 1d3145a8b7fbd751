"""docs/performance.md: the table of bars, whole runs, and how the cost grows."""

from __future__ import annotations

import json
from pathlib import Path

from ..learn.pictures import Axes, legend, svg
from ..quality.pictures import HUES, QUIET

BARS = {
    "mixed, exact, batch 1": 1.07,
    "mixed, exact, batch 4": 1.07,
    "theta 0, exact, batch 1": 1.01,
    "theta 1, exact, batch 1": 1.01,
    "sin 12, exact, n = 4": 0.90,
}
MEMORY_BAR, IMPORT_BAR = 1.08, 0.2


def write(report: dict, docs: Path) -> None:
    (docs / "performance").mkdir(parents=True, exist_ok=True)
    (docs / "performance.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    (docs / "performance.md").write_text(page(report), encoding="utf-8")
    for name, title, words in (
        ("tokens", "One mixed step against a stock step", "image tokens"),
        ("images", "One mixed step of a set against a stock step of one image", "images"),
    ):
        (docs / "performance" / f"{name}.svg").write_text(
            plot(report["growth"][name], title, words), encoding="utf-8"
        )


def page(report: dict) -> str:
    return (
        "\n\n".join(
            [
                "# Performance",
                machine(report["machine"]),
                (
                    "Ratios against the unpatched model in the same process, the two in turn:"
                    " median (least to greatest of the turns). *mixed* is a step with 0 < theta <"
                    " 1; *exact*, *local* and *paper* are Coupled Attention's modes. *local*"
                    " samples the background plate as one row more: 2 in place of 1, 5 in place of"
                    " 4. On a CPU the host takes its sub-quadratic attention, slower and larger"
                    " than the flash kernel of coupled calls: hence ratios far below 1."
                ),
                "## One step",
                table(report["steps"]),
                "## Whole runs, against the same images in one batch of the stock model",
                table(report["runs"]),
                "## Memory and import",
                others(report),
                "## How the cost grows",
                "![Over the image tokens](performance/tokens.svg)",
                "![Over the images of a set](performance/images.svg)",
                (
                    "Expected: the floating-point operations of the matrices and of the attention;"
                    " the two texts do not see each other."
                ),
            ]
        )
        + "\n"
    )


def machine(m: dict) -> str:
    tokens, steps = m["run"]
    load = f" Load average when it began: {m['load']}." if m["load"] is not None else ""
    return (
        f"Made by `python3 dev.py bench speed` on {m['device']}, {m['threads']} threads, torch"
        f" {m['torch']}, {m['dtype'].removeprefix('torch.')}. The model: ComfyUI's Flux of random"
        f" weights, width {m['width']}, {m['double']} double and {m['single']} single blocks"
        f" (Flux.1-dev: 3072, 19 and 38), {m['text']} text tokens for each text. Steps are measured"
        f" at {m['image_tokens']} image tokens, whole runs at {tokens} with {steps} steps.{load}"
    )


def table(rows: dict) -> str:
    body = [
        f"| {name} | {r['ratio']:.3f} ({r['least']:.3f} to {r['greatest']:.3f}) |"
        f" {bar(BARS.get(name))} | {r['seconds']:.2f} | {r['stock_seconds']:.2f} |"
        for name, r in rows.items()
    ]
    return "\n".join(
        ["| what | ratio | bar | seconds | stock, seconds |", "|---|---|---|---|---|", *body]
    )


def bar(limit: float | None) -> str:
    return f"≤ {limit:.2f}" if limit else "–"


def others(report: dict) -> str:
    rows = [
        f"| peak memory of a mixed step, {mode}, weights included | {value:.3f} | ≤ {MEMORY_BAR} |"
        for mode, value in report["memory"].items()
    ]
    rows.append(
        f"| importing the pack and its nodes, beyond the host | {report['import_seconds']:.3f} s | "
        f"≤ {IMPORT_BAR} s |"
    )
    return "\n".join(["| what | measured | bar |", "|---|---|---|", *rows])


def plot(points: list[dict], title: str, words: str) -> str:
    """The measured ratios as dots, the expected ones as a line."""
    highest = 1.05 * max(max(p["expected"], p["ratio"]) for p in points)
    axes = Axes((0, 1.02 * points[-1]["at"]), (0, highest))
    parts = [
        *axes.frame(title, words, "ratio"),
        axes.line([(p["at"], p["expected"]) for p in points], QUIET, 1.5),
    ]
    parts += [axes.dot(p["at"], p["ratio"], HUES[0], 5) for p in points]
    return svg([*parts, *legend([("measured (dots)", HUES[0]), ("expected", QUIET)], 380)])
