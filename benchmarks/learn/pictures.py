"""The learned curve beside the families (as the paper's Figure 6), and the front, as small SVGs."""

from __future__ import annotations

from collections.abc import Sequence

from coupled.optimize import Learning
from coupled.optimize.report import front
from coupled.optimize.study import Candidate

from ..quality.pictures import GRID, HUES, INK, PAPER, QUIET, round_numbers, text
from .trial import Contender

WIDTH, HEIGHT = 860, 480
LEFT, RIGHT, TOP, BOTTOM = 80, 800, 70, 410  # the plot's frame
WORST_LOST = 0.5  # of the sets; schedules that lose more are off the picture


class Axes:
    """Maps numbers to places in the frame, and draws it."""

    def __init__(self, xs: tuple[float, float], ys: tuple[float, float]):
        self.xs, self.ys = xs, ys

    def place(self, x: float, y: float) -> tuple[float, float]:
        (x0, x1), (y0, y1) = self.xs, self.ys
        return LEFT + (x - x0) / (x1 - x0) * (RIGHT - LEFT), BOTTOM - (y - y0) / (y1 - y0) * (
            BOTTOM - TOP
        )

    def line(self, points: Sequence[tuple[float, float]], hue: str, width: float) -> str:
        places = " ".join("{:.1f},{:.1f}".format(*self.place(x, y)) for x, y in points)
        return f'<polyline points="{places}" fill="none" stroke="{hue}" stroke-width="{width}"/>'

    def dot(self, x: float, y: float, hue: str, radius: float, fill: str | None = None) -> str:
        across, down = self.place(x, y)
        return (
            f'<circle cx="{across:.1f}" cy="{down:.1f}" r="{radius}" fill="{fill or hue}"'
            f' stroke="{hue}" stroke-width="1.5"/>'
        )

    def frame(self, title: str, x_name: str, y_name: str) -> list[str]:
        parts = [
            f'<rect width="{WIDTH}" height="{HEIGHT}" fill="{PAPER}"/>',
            text(LEFT, 32, title, 18),
            text((LEFT + RIGHT) / 2 - 50, BOTTOM + 48, x_name, 14, QUIET),
            text(LEFT, 58, y_name, 14, QUIET),
        ]
        for x in round_numbers(*self.xs):
            across = self.place(x, 0)[0]
            parts += [
                (
                    f'<line x1="{across:.1f}" y1="{TOP}" x2="{across:.1f}" y2="{BOTTOM}"'
                    f' stroke="{GRID}"/>'
                ),
                text(across - 8, BOTTOM + 22, f"{x:g}", 12, QUIET),
            ]
        for y in round_numbers(*self.ys):
            down = self.place(0, y)[1]
            parts += [
                f'<line x1="{LEFT}" y1="{down:.1f}" x2="{RIGHT}" y2="{down:.1f}" stroke="{GRID}"/>',
                text(LEFT - 40, down + 4, f"{y:g}", 12, QUIET),
            ]
        return parts


def svg(parts: Sequence[str]) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}"'
        ' font-family="sans-serif">\n' + "\n".join(parts) + "\n</svg>\n"
    )


def legend(names: Sequence[tuple[str, str]], y: float) -> list[str]:
    """A line of its colour before each name."""
    parts = []
    for row, (name, hue) in enumerate(names):
        at = y + 20 * row
        parts += [
            (
                f'<line x1="{LEFT + 430}" y1="{at}" x2="{LEFT + 454}" y2="{at}" stroke="{hue}"'
                ' stroke-width="3"/>'
            ),
            text(LEFT + 462, at + 4, name, 13),
        ]
    return parts


def curves(shown: Sequence[Contender], steps: int) -> str:
    """theta over the sampling steps."""
    axes = Axes((0, steps - 1), (-0.03, 1.05))
    parts = axes.frame("theta, learned and the best of each family", "sampling step", "theta")
    for place, one in reversed(list(enumerate(shown))):  # the learned one on top
        points = list(enumerate(one.schedule.values(steps)))
        parts.append(axes.line(points, HUES[place], 1.5 if place else 3.5))
        parts += [] if place else [axes.dot(t, theta, HUES[0], 3.5) for t, theta in points]
    return svg(
        [
            *parts,
            *legend([(one.label, HUES[place]) for place, one in enumerate(shown)], BOTTOM - 110),
        ]
    )


def front_picture(learning: Learning, candidates: Sequence[Candidate]) -> str:
    """f_bg over f_ti of the candidates that were tried to the end; hollow ones lose too many
    sets.
    """
    shown = [
        one for one in candidates if one.complete and one.lost <= WORST_LOST * len(one.measured)
    ]
    kept, best = [one for one in shown if learning.feasible(one)], learning.best()
    xs, ys = [one.f_ti for one in shown], [1e4 * one.f_bg for one in shown]
    margin = 0.05 * (max(xs) - min(xs)) or 1.0
    axes = Axes((min(xs) - margin, max(xs) + margin), (1.05 * min(ys), max(0.0, max(ys))))
    hues = dict(zip(dict.fromkeys(one.stage for one in shown), HUES, strict=False))
    parts = axes.frame(
        "Background against alignment, training sets", "f_ti (100·cos)", "f_bg ×10⁻⁴"
    )
    parts.append(axes.line([(one.f_ti, 1e4 * one.f_bg) for one in front(kept)], QUIET, 1.5))
    parts += [
        axes.dot(
            one.f_ti, 1e4 * one.f_bg, hues[one.stage], 4, None if learning.feasible(one) else PAPER
        )
        for one in shown
    ]
    parts += [
        axes.dot(best.f_ti, 1e4 * best.f_bg, INK, 8, "none"),
        text(
            LEFT + 462,
            TOP + 20 * len(hues) + 22,
            "ring: the learned one; hollow: loses too many",
            12,
            QUIET,
        ),
    ]
    return svg([*parts, *legend(list(hues.items()), TOP + 16)])
