"""The page performance.md: the table of bars, whole runs, and how the cost grows."""

from __future__ import annotations

from pathlib import Path

from devtools.sheet import QUIET

from ..command import write_json, write_text
from ..svg import HUES, LEFT, Axes, draw_legend

BARS = {
    "mixed, exact, batch 1": 1.07,
    "mixed, exact, batch 4": 1.07,
    "theta 0, exact, batch 1": 1.01,
    "theta 1, exact, batch 1": 1.01,
    "sin 12, exact, n = 4": 0.90,
}
# Bar and aim of whole runs of sets.
SET_BARS = {
    "n = 2": (1.0, 0.92),
    "n = 4": (0.75, 0.62),
    "n = 8": (0.6, 0.47),
    "n = 16": (0.52, 0.4),
}
SET_MEMORY_BAR = 1.05
MEMORY_BAR = 1.08
IMPORT_BAR = 0.2
HOW_TO_READ = """\
Ratios against the unpatched model in the same process, the two in turn: median (least to greatest
of the turns). *mixed* is a step with 0 < theta < 1; *exact*, *local* and *paper* are Coupled
Attention's modes. *local* samples the background plate as one row more: 2 in place of 1, 5 in place
of 4. On a CPU the host takes its sub-quadratic attention, slower and larger than the flash kernel
of coupled calls: hence ratios far below 1."""
SETS = """\
Mode local at `sin`, center 4, 50 steps, regions of a quarter of the picture, against the same
images in one batch of the stock model. A run is composed: the measured steps of each kind times how
many of them the pack's own schedule has at Flux.1's noise levels."""
SET_STEPS = "The steps it is composed of, by a step of the stock batch (the same kernel; expected):"
FLUX_DEV_PEAK = """\
The second column is counted from the first: at Flux.1-dev's size what a step takes beyond the stock
one has grown with the width, in bfloat16, and stands beside 24 GB of weights, of which a small
model has hardly any. What the stock step takes beside the weights is left out."""
EXPECTED = """\
Expected: the floating-point operations of the matrices and of the attention; the two texts do not
see each other. Floor: the tokens of the plate and of the regions, by those of n pictures."""


def write_page(report: dict, folder: Path, output: Path) -> None:
    """The page and its pictures into one folder, the numbers into another."""
    pictures = folder / "performance"
    growth = report["growth"]
    title = "One mixed step against a stock step"
    write_text(pictures / "tokens.svg", draw_growth(growth["tokens"], title, "image tokens"))
    title = "One mixed step of a set against a stock step of one image"
    write_text(pictures / "images.svg", draw_growth(growth["images"], title, "images"))
    write_text(pictures / "shares.svg", draw_shares(report["shares"]))
    write_json(output / "performance.json", report)
    write_text(folder / "performance.md", format_page(report))


def format_page(report: dict) -> str:
    parts = [
        "# Performance",
        describe_machine(report["machine"]),
        HOW_TO_READ,
        "## One step",
        format_table(report["steps"]),
        "## Whole runs, against the same images in one batch of the stock model",
        format_table(report["runs"]),
        "## Whole runs of sets in mode local",
        SETS,
        format_sets(report["sets"]),
        format_memory(report["memory_of_sets"]),
        "## Memory and import",
        format_others(report),
        "## How the cost grows",
        "![Over the image tokens](performance/tokens.svg)",
        "![Over the images of a set](performance/images.svg)",
        "![Over the share of a picture that a region takes](performance/shares.svg)",
        EXPECTED,
    ]
    return "\n\n".join(parts) + "\n"


def describe_machine(m: dict) -> str:
    tokens, steps = m["run"]
    load = f" Load average when it began: {m['load']}." if m["load"] is not None else ""
    return (
        f"Made by `python3 dev.py bench speed` on {m['device']}, {m['threads']} threads, torch"
        f" {m['torch']}, {m['dtype'].removeprefix('torch.')}. The model: ComfyUI's Flux of random"
        f" weights, width {m['width']}, {m['double']} double and {m['single']} single blocks"
        f" (Flux.1-dev: 3072, 19 and 38), {m['text']} text tokens for each text. Steps are measured"
        f" at {m['image_tokens']} image tokens, whole runs at {tokens} with {steps} steps.{load}"
    )


def format_table(rows: dict) -> str:
    body = [
        f"| {name} | {r['ratio']:.3f} ({r['least']:.3f} to {r['greatest']:.3f}) |"
        f" {format_bar(BARS.get(name))} | {r['seconds']:.2f} | {r['stock_seconds']:.2f} |"
        for name, r in rows.items()
    ]
    return "\n".join(
        ["| what | ratio | bar | seconds | stock, seconds |", "|---|---|---|---|---|", *body]
    )


def format_sets(sets: dict) -> str:
    """The ratios with the host's own attention and with one kernel on both sides; then the steps
    that they are composed of.
    """
    head = [
        "| set | host's default attention | the same kernel | expected | bar | aim |",
        "|---|---|---|---|---|---|",
    ]
    body = []
    for name, row in sets["same"].items():
        bar, aim = SET_BARS.get(name, (None, None))
        measured = f"{sets['host'][name]['ratio']:.3f} | {row['ratio']:.3f}"
        body.append(
            f"| {name} | {measured} | {row['expected']:.3f} | {format_bar(bar)} |"
            f" {format_bar(aim)} |"
        )
    return "\n".join([*head, *body, "", SET_STEPS, "", *format_set_steps(sets["same"])])


def format_set_steps(sets: dict) -> list[str]:
    kinds = next(iter(sets.values()))["steps"]
    body = []
    for kind in kinds:
        steps = [row["steps"][kind] for row in sets.values()]
        cells = [f"{one['ratio']:.3f} ({one['expected']:.3f})" for one in steps]
        body.append(f"| {kind} | {steps[0]['count']} | {' | '.join(cells)} |")
    return [f"| step | of 50 | {' | '.join(sets)} |", "|---|---" + "|---" * len(sets) + "|", *body]


def format_memory(peaks: dict) -> str:
    """The peaks of a set's steps, by that of the stock batch."""
    head = [
        "| peak memory of a step, n = 4, weights included | measured | Flux.1-dev, at most | bar |",
        "|---|---|---|---|",
    ]
    bar = format_bar(SET_MEMORY_BAR)
    body = [
        f"| {name} | {peak['ratio']:.3f} | {peak['flux_dev']:.3f} | {bar} |"
        for name, peak in peaks.items()
    ]
    return "\n".join([*head, *body, "", FLUX_DEV_PEAK])


def format_bar(limit: float | None) -> str:
    return f"≤ {limit:.2f}" if limit else "–"


def format_others(report: dict) -> str:
    rows = [
        f"| peak memory of a mixed step, {mode}, weights included | {value:.3f} | ≤ {MEMORY_BAR} |"
        for mode, value in report["memory"].items()
    ]
    rows.append(
        f"| importing the pack and its nodes, beyond the host | {report['import_seconds']:.3f} s | "
        f"≤ {IMPORT_BAR} s |"
    )
    return "\n".join(["| what | measured | bar |", "|---|---|---|", *rows])


def draw_growth(points: list[dict], title: str, words: str) -> str:
    """The measured ratios as dots, the expected ones as a line."""
    axes = Axes((0, 1.02 * points[-1]["at"]), (0, find_highest(points)))
    parts = axes.draw_frame(title, words, "ratio")
    parts += draw_measured(axes, points, QUIET, HUES[0])
    hues = {"measured (dots)": HUES[0], "expected": QUIET}
    return axes.join([*parts, *draw_legend(hues, LEFT + 430, 380)])


def draw_shares(sets: dict[str, list[dict]]) -> str:
    """Of each set the measured ratios as dots, the expected ones as a line, the floor as a thin
    one.
    """
    axes = Axes((0, 1), (0, max(map(find_highest, sets.values()))))
    title = "One step in mode local against a step of the stock batch"
    parts = axes.draw_frame(title, "share of a picture that a region takes", "ratio")
    hues = dict(zip(sets, HUES, strict=False))
    for name, row in sets.items():
        parts.append(axes.draw_line([(p["at"], p["floor"]) for p in row], QUIET, 1))
        parts += draw_measured(axes, row, hues[name], hues[name])
    legend = {f"{name}: measured (dots), expected": hue for name, hue in hues.items()}
    return axes.join([*parts, *draw_legend({**legend, "floor": QUIET}, LEFT + 430, 320)])


def find_highest(points: list[dict]) -> float:
    """Where the axis of the ratios ends."""
    return 1.05 * max(max(p["expected"], p["ratio"]) for p in points)


def draw_measured(axes: Axes, points: list[dict], line_hue: str, dot_hue: str) -> list[str]:
    line = axes.draw_line([(p["at"], p["expected"]) for p in points], line_hue, 1.5)
    return [line, *(axes.draw_dot(p["at"], p["ratio"], dot_hue, 5) for p in points)]
