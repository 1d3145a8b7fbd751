"""Plots as small SVGs: axes with a grid, lines, dots and a legend."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass

from devtools.sheet import INK, PAPER, QUIET

GRID = "#dddad2"
# Okabe and Ito, for the color-blind.
HUES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
WIDTH = 860
LEFT = 80
TOP = 70
BELOW = 70  # under the frame, for the numbers and the name of the axis


@dataclass(frozen=True)
class Axes:
    """Maps numbers to places in the frame, and draws it. xs, ys: (lowest, highest) of an axis."""

    xs: tuple[float, float]
    ys: tuple[float, float]
    right: int = 800
    bottom: int = 410

    def place(self, x: float, y: float) -> tuple[float, float]:
        across = (x - self.xs[0]) / (self.xs[1] - self.xs[0])
        up = (y - self.ys[0]) / (self.ys[1] - self.ys[0])
        return LEFT + across * (self.right - LEFT), self.bottom - up * (self.bottom - TOP)

    def draw_line(self, points: Sequence[tuple[float, float]], hue: str, width: float) -> str:
        places = " ".join("{:.1f},{:.1f}".format(*self.place(x, y)) for x, y in points)
        return f'<polyline points="{places}" fill="none" stroke="{hue}" stroke-width="{width}"/>'

    def draw_dot(self, x: float, y: float, hue: str, radius: float, fill: str | None = None) -> str:
        across, down = self.place(x, y)
        return (
            f'<circle cx="{across:.1f}" cy="{down:.1f}" r="{radius}" fill="{fill or hue}"'
            f' stroke="{hue}" stroke-width="1.5"/>'
        )

    def draw_square(self, x: float, y: float) -> str:
        across, down = self.place(x, y)
        return (
            f'<rect x="{across - 5:.1f}" y="{down - 5:.1f}" width="10" height="10" fill="{INK}"/>'
        )

    def draw_words(self, x: float, y: float, words: str, size: int, hue: str = INK) -> str:
        """Words to the right of a point."""
        across, down = self.place(x, y)
        return draw_text(across + 8, down + 14, words, size, hue)

    def draw_frame(self, title: str, x_name: str, y_name: str) -> list[str]:
        parts = [
            f'<rect width="{WIDTH}" height="{self.bottom + BELOW}" fill="{PAPER}"/>',
            draw_text(LEFT, 32, title, 18),
            draw_text((LEFT + self.right) / 2 - 50, self.bottom + 48, x_name, 14, QUIET),
            draw_text(LEFT, 58, y_name, 14, QUIET),
        ]
        for x in round_numbers(*self.xs):
            across = self.place(x, self.ys[0])[0]
            parts.append(draw_rule(across, TOP, across, self.bottom, GRID))
            parts.append(draw_text(across - 8, self.bottom + 22, f"{x:g}", 12, QUIET))
        for y in round_numbers(*self.ys):
            down = self.place(self.xs[0], y)[1]
            parts.append(draw_rule(LEFT, down, self.right, down, GRID))
            parts.append(draw_text(LEFT - 40, down + 4, f"{y:g}", 12, QUIET))
        return parts

    def join(self, parts: Sequence[str]) -> str:
        """The parts as an SVG."""
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {self.bottom + BELOW}"'
            ' font-family="sans-serif">\n' + "\n".join(parts) + "\n</svg>\n"
        )


def draw_rule(x0: float, y0: float, x1: float, y1: float, hue: str, width: float = 1) -> str:
    return (
        f'<line x1="{x0:.1f}" y1="{y0:.1f}" x2="{x1:.1f}" y2="{y1:.1f}" stroke="{hue}"'
        f' stroke-width="{width}"/>'
    )


def draw_text(x: float, y: float, words: str, size: int, hue: str = INK) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" fill="{hue}">{html.escape(words)}</text>'
    )


def draw_legend(hues: dict[str, str], x: float, y: float) -> list[str]:
    """A line of its hue before each name."""
    parts = []
    for row, (name, hue) in enumerate(hues.items()):
        at = y + 20 * row
        parts.append(draw_rule(x, at, x + 24, at, hue, 3))
        parts.append(draw_text(x + 32, at + 4, name, 13))
    return parts


def round_numbers(low: float, high: float) -> list[float]:
    """Multiples of 1, 2 or 5 times a power of ten from low to high, at most 7 of them."""
    sizes = (m * 10.0**e for e in range(-9, 9) for m in (1, 2, 5))
    step = next(size for size in sizes if high - low <= 6 * size)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [round(i * step, 9) for i in range(first, last + 1)]
