"""The trade-off curve as an SVG: f_bg over f_ti, a line for each curve whose center is swept."""

from __future__ import annotations

from collections.abc import Sequence

from devtools.sheet import PAPER, QUIET

from ..svg import HUES, TOP, Axes, draw_legend, draw_text
from .scores import Row

FEW = 0.8  # a dot is hollow where fewer of the sets than this could be scored
RIGHT = 620  # of the frame; the names of the curves stand to its right
BOTTOM = 490

Dots = list[tuple[float, Row]]  # (center, row)


def find_point(row: Row) -> tuple[float, float] | None:
    """(f_ti, 10⁴ f_bg) of a row, None without both."""
    if not row["f_ti"] or not row["f_bg"]:
        return None
    return row["f_ti"]["mean"], 1e4 * row["f_bg"]["mean"]


def draw_trade_off(curves: dict[str, Dots], marks: Sequence[Row]) -> str:
    """A dot for each center of each curve, and a square for each of `marks`."""
    rows = [row for dots in curves.values() for _, row in dots] + list(marks)
    axes = fit_axes([point for row in rows if (point := find_point(row))])
    hues = {name: HUES[i % len(HUES)] for i, name in enumerate(curves)}
    title = "Background similarity against text alignment, centers swept"
    parts = axes.draw_frame(title, "f_ti (100·cos)", "f_bg ×10⁻⁴")
    for name, dots in curves.items():
        parts += draw_curve(axes, dots, hues[name])
    for row in marks:
        point = find_point(row)
        if point is not None:
            parts += [axes.draw_square(*point), axes.draw_words(*point, row["label"], 13)]
    parts += draw_legend(hues, RIGHT + 24, TOP)
    note = f"hollow: under {100 * FEW:g} % scored"
    parts.append(draw_text(RIGHT + 24, BOTTOM, note, 12, QUIET))
    return axes.join(parts)


def fit_axes(points: Sequence[tuple[float, float]]) -> Axes:
    """Both axes get better to the upper right; f_bg ends at 0."""
    xs = [x for x, _ in points]
    lowest = min(y for _, y in points)
    margin = 0.06 * (max(xs) - min(xs)) or 1.0
    return Axes((min(xs) - margin, max(xs) + margin), (1.08 * lowest or -1.0, 0), RIGHT, BOTTOM)


def draw_curve(axes: Axes, dots: Dots, hue: str) -> list[str]:
    """A line through the dots in the order of their centers, each dot with its center."""
    in_order = sorted(dots, key=lambda dot: dot[0])
    found = [(center, row, p) for center, row in in_order if (p := find_point(row))]
    parts = [axes.draw_line([point for _, _, point in found], hue, 2)]
    for center, row, point in found:
        fill = PAPER if row["scored"] < FEW * row["results"] else hue
        parts.append(axes.draw_dot(*point, hue, 4, fill))
        parts.append(axes.draw_words(*point, f"{center:g}", 10, hue))
    return parts
