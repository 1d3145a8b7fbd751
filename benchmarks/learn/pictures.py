"""The learned curve with the shapes (as the paper's Figure 6), and the front, as small SVGs."""

from __future__ import annotations

from collections.abc import Sequence

from coupled.optimize import Learning
from coupled.optimize.candidate import Candidate
from coupled.optimize.report import find_front
from devtools.sheet import INK, PAPER, QUIET

from ..svg import HUES, LEFT, TOP, Axes, draw_legend, draw_text
from .trial import Contender

LEGEND = LEFT + 430
WORST_LOST = 0.5  # of the sets; schedules that lose more are off the picture


def draw_curves(shown: Sequence[Contender], steps: int) -> str:
    """theta over the sampling steps; the first curve, the learned one, lies on top."""
    axes = Axes((0, steps - 1), (-0.03, 1.05))
    hues = dict(zip((one.label for one in shown), HUES, strict=False))
    title = "theta, learned and the best of each shape"
    parts = axes.draw_frame(title, "sampling step", "theta")
    for one in reversed(shown[1:]):
        points = list(enumerate(one.schedule.values(steps)))
        parts.append(axes.draw_line(points, hues[one.label], 1.5))
    points = list(enumerate(shown[0].schedule.values(steps)))
    parts.append(axes.draw_line(points, HUES[0], 3.5))
    parts += [axes.draw_dot(step, theta, HUES[0], 3.5) for step, theta in points]
    return axes.join([*parts, *draw_legend(hues, LEGEND, axes.bottom - 110)])


def draw_front(learning: Learning, candidates: Sequence[Candidate]) -> str:
    """f_bg over f_ti of the candidates that were tried to the end; hollow ones lose too many
    sets.
    """
    shown = [
        one for one in candidates if one.complete and one.lost <= WORST_LOST * len(one.measured)
    ]
    kept = [one for one in shown if learning.is_feasible(one)]
    axes = fit_axes([find_point(one) for one in shown])
    stages = dict.fromkeys(one.stage for one in shown)
    hues = dict(zip(stages, HUES, strict=False))
    title = "Background against alignment, training sets"
    parts = axes.draw_frame(title, "f_ti (100·cos)", "f_bg ×10⁻⁴")
    parts.append(axes.draw_line([find_point(one) for one in find_front(kept)], QUIET, 1.5))
    for one in shown:
        fill = None if learning.is_feasible(one) else PAPER
        parts.append(axes.draw_dot(*find_point(one), hues[one.stage], 4, fill))
    best = learning.best()
    assert best is not None
    parts.append(axes.draw_dot(*find_point(best), INK, 8, "none"))
    parts += draw_legend(hues, LEGEND, TOP + 16)
    note = "ring: the learned one; hollow: loses too many"
    parts.append(draw_text(LEGEND + 32, TOP + 20 * len(hues) + 22, note, 12, QUIET))
    return axes.join(parts)


def find_point(one: Candidate) -> tuple[float, float]:
    return one.f_ti, 1e4 * one.f_bg


def fit_axes(points: Sequence[tuple[float, float]]) -> Axes:
    xs = [x for x, _ in points]
    ys = [y for _, y in points]
    margin = 0.05 * (max(xs) - min(xs)) or 1.0
    return Axes((min(xs) - margin, max(xs) + margin), (1.05 * min(ys), max(0.0, max(ys))))
