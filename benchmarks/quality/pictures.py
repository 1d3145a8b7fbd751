"""Contact sheets like the paper's Figures 3 to 5 and 8 to 10, and the trade-off curve as an SVG."""

from __future__ import annotations

import html
import math
import textwrap
from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image, ImageDraw, ImageFont

from coupled.metrics.background import background_similarity, heat_map

from ..sets import PromptSet
from ..store import Record, Store
from .methods import Method
from .tables import Row

CELL, GAP, HEAD, LINE = 144, 8, 54, 16  # pixels
INK, PAPER, QUIET, GRID = "#1b1b1f", "#fbfaf7", "#5d5c66", "#dddad2"
HUES = (
    "#0072b2",
    "#d55e00",
    "#009e73",
    "#cc79a7",
    "#e69f00",
    "#56b4e9",
)  # Okabe and Ito, for the colour-blind
FEW = 0.8  # a dot is hollow where fewer of the sets than this could be scored


def contact_sheet(
    store: Store,
    prompts: PromptSet,
    seed: int,
    columns: Sequence[tuple[Method, Record]],
    path: Path,
):
    """Methods side by side, one row per prompt, below them where the backgrounds differ; saved as
    JPEG.
    """
    n = len(prompts.prompts)
    tall = [HEAD, *[CELL + 2 * LINE] * n, CELL + 2 * LINE]
    sheet = Image.new("RGB", (GAP + len(columns) * (CELL + GAP), sum(tall) + GAP), PAPER)
    pen = ImageDraw.Draw(sheet)
    for number, (method, record) in enumerate(columns):
        left = GAP + number * (CELL + GAP)
        write(pen, left, GAP, method.label, 12, INK, 24)
        key = (prompts.name, seed, method.key)
        images, masks = store.load(key, "images", n), store.load(key, "masks", n)
        difference = heat_map(images, background_similarity(images, masks).joint_region_HW)
        for i, picture_HWC in enumerate([*images, *difference]):
            sheet.paste(picture(picture_HWC), (left, HEAD + i * (CELL + 2 * LINE)))
        write(pen, left, HEAD + n * (CELL + 2 * LINE) + CELL + 4, numbers(record), 11, QUIET, 30)
    for i, prompt in enumerate(prompts.prompts):
        write(pen, GAP, HEAD + i * (CELL + 2 * LINE) + CELL + 6, prompt, 13, QUIET, 200)
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(path, quality=88)


def numbers(record: Record) -> str:
    f_bg = "no number" if record["f_bg"] is None else f"{1e4 * record['f_bg']:.1f}e-4"
    return f"f_bg {f_bg}\nf_ti {record['f_ti']:.1f}"


def picture(pixels_HWC: torch.Tensor) -> Image.Image:
    pixels = (pixels_HWC * 255).round().byte().numpy()
    return Image.fromarray(pixels).resize((CELL, CELL), Image.Resampling.LANCZOS)


def write(
    pen: ImageDraw.ImageDraw, x: int, y: int, text: str, size: int, colour: str, width: int
) -> None:
    lines = [part for line in text.splitlines() for part in textwrap.wrap(line, width)]
    pen.multiline_text(
        (x, y), "\n".join(lines[:3]), colour, ImageFont.load_default(size), spacing=2
    )


# --- the trade-off curve ---

WIDTH, HEIGHT = 860, 560
LEFT, RIGHT, TOP, BOTTOM = 90, 620, 70, 490  # the plot's frame


class Frame:
    """Maps (f_ti, f_bg) to places in the picture; both axes get better to the upper right."""

    def __init__(self, points: Sequence[tuple[float, float]]):
        xs, ys = [x for x, _ in points], [y for _, y in points]
        margin = 0.06 * (max(xs) - min(xs)) or 1.0
        self.x0, self.x1, self.y0 = min(xs) - margin, max(xs) + margin, 1.08 * min(ys) or -1e-4

    def place(self, x: float, y: float) -> tuple[float, float]:
        across = (x - self.x0) / (self.x1 - self.x0)
        return LEFT + across * (RIGHT - LEFT), TOP + y / self.y0 * (BOTTOM - TOP)


def point(row: Row) -> tuple[float, float] | None:
    """(f_ti, f_bg) of a row, None without both."""
    return (row["f_ti"]["mean"], row["f_bg"]["mean"]) if row["f_ti"] and row["f_bg"] else None


def trade_off(curves: dict[str, list[tuple[float, Row]]], marks: Sequence[Row]) -> str:
    """An SVG of f_bg over f_ti: a line per curve with a dot per center, and a square for each of
    `marks`.
    """
    everything = [row for dots in curves.values() for _, row in dots] + list(marks)
    frame = Frame([p for row in everything if (p := point(row))])
    parts = [f'<rect width="{WIDTH}" height="{HEIGHT}" fill="{PAPER}"/>', *axes(frame)]
    for number, (name, dots) in enumerate(curves.items()):
        hue = HUES[number % len(HUES)]
        parts += curve(frame, dots, hue)
        y = TOP + 22 * number
        parts += [
            (
                f'<line x1="{RIGHT + 24}" y1="{y}" x2="{RIGHT + 48}" y2="{y}" stroke="{hue}"'
                ' stroke-width="3"/>'
            ),
            text(RIGHT + 56, y + 4, name, 13),
        ]
    for row in marks:
        if p := point(row):
            x, y = frame.place(*p)
            parts += [
                f'<rect x="{x - 5:.1f}" y="{y - 5:.1f}" width="10" height="10" fill="{INK}"/>',
                text(x + 9, y - 8, row["label"], 13),
            ]
    parts.append(text(RIGHT + 24, BOTTOM, f"hollow: under {100 * FEW:g} % scored", 12, QUIET))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}"'
        ' font-family="sans-serif">\n' + "\n".join(parts) + "\n</svg>\n"
    )


def curve(frame: Frame, dots: Sequence[tuple[float, Row]], hue: str) -> list[str]:
    """A line through the dots in the order of their centers, each dot with its center."""
    in_order = sorted(dots, key=lambda dot: dot[0])
    places = [(center, row, frame.place(*p)) for center, row in in_order if (p := point(row))]
    line = " ".join(f"{x:.1f},{y:.1f}" for _, _, (x, y) in places)
    parts = [f'<polyline points="{line}" fill="none" stroke="{hue}" stroke-width="2"/>']
    for center, row, (x, y) in places:
        fill = PAPER if row["scored"] < FEW * row["results"] else hue
        parts += [
            (
                f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{fill}" stroke="{hue}"'
                ' stroke-width="2"/>'
            ),
            text(x + 6, y + 14, f"{center:g}", 10, hue),
        ]
    return parts


def axes(frame: Frame) -> list[str]:
    parts = [
        text(LEFT, 32, "Background similarity against text alignment, centers swept", 18),
        text((LEFT + RIGHT) / 2 - 50, BOTTOM + 48, "f_ti (100·cos)", 14, QUIET),
        text(LEFT, 56, "f_bg ×10⁻⁴", 14, QUIET),
    ]
    for x in round_numbers(frame.x0, frame.x1):
        across = frame.place(x, 0)[0]
        parts += [
            f'<line x1="{across:.1f}" y1="{TOP}" x2="{across:.1f}" y2="{BOTTOM}" stroke="{GRID}"/>',
            text(across - 12, BOTTOM + 22, f"{x:g}", 12, QUIET),
        ]
    for y in round_numbers(1e4 * frame.y0, 0):
        down = frame.place(0, 1e-4 * y)[1]
        parts += [
            f'<line x1="{LEFT}" y1="{down:.1f}" x2="{RIGHT}" y2="{down:.1f}" stroke="{GRID}"/>',
            text(LEFT - 40, down + 4, f"{y:g}", 12, QUIET),
        ]
    return parts


def round_numbers(low: float, high: float) -> list[float]:
    """Multiples of 1, 2 or 5 times a power of ten from low to high, at most 7 of them."""
    step = next(
        m * 10.0**e for e in range(-9, 9) for m in (1, 2, 5) if high - low <= 6 * m * 10.0**e
    )
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(i * step, 9) for i in range(first, last + 1)]


def text(x: float, y: float, words: str, size: int, colour: str = INK) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}"'
        f' fill="{colour}">{html.escape(words)}</text>'
    )
