"""What a learning found, in words and as a front of background against alignment."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ..schedules import ThetaSchedule, from_values
from .candidate import Candidate
from .learn import Learning
from .meter import WEIGHTS
from .stages import KNOTS, SHAPES, STEPS

MOVES = {KNOTS: "the best curve, moved at ten points", STEPS: "the best curve, moved at every step"}


def learned_schedule(learning: Learning, name: str = "learned", model: str = "") -> ThetaSchedule:
    """The best schedule, with where it comes from. ValueError before the first candidate."""
    best = learning.best()
    if best is None:
        raise ValueError("Nothing was tried yet, so there is no best schedule. Give it more time.")
    values = learning.schedule_of(best).values(learning.task.painter.settings.steps)
    return from_values(values, name, describe_origin(learning, best, model))[0]


def describe_origin(learning: Learning, best: Candidate, model: str = "") -> str:
    """Where a schedule comes from, in a line."""
    task = learning.task
    settings = task.painter.settings
    pixels = task.painter.vae.spacial_compression_decode()
    height, width = (pixels * length for length in task.painter.latent["samples"].shape[-2:])
    return (
        f"learned{f' on {model}' if model else ''}: {width} × {height}, {settings.steps} steps,"
        f" {settings.sampler_name}, {settings.scheduler}, {settings.mode} mode, entity text"
        f" {settings.entity_text}; {count(len(task.painter.sets), 'set')},"
        f" {count(len(task.painter.seeds), 'seed')},"
        f" {count(len(learning.candidates()), 'candidate')}; combined score,"
        f" {task.weights} weights: {best.score(learning.weights):.4f}"
    )


def report(learning: Learning) -> str:
    """The result, the shapes for comparison, what the guards kept out, and the cost."""
    best = learning.best()
    everyone = learning.candidates()
    if best is None:
        return "Nothing was tried yet."
    lines = [
        f"Best of {count(len(everyone), 'schedule')}: {describe_stage(best.stage)}.",
        describe("learned", best),
    ]
    if not learning.is_feasible(best):
        lines.append(
            f"No schedule kept its entities: even the best one loses {best.lost} of"
            f" {len(best.measured)} sets. Look at the prompts and the segmenter, or raise max_lost."
        )
    shapes = [(shape, learning.best(shape)) for shape in SHAPES if shape in learning.stages]
    lines += [
        f"{describe(shape, one)} at {describe_parameters(one)}"
        for shape, one in shapes
        if one is not None
    ]
    return "\n".join([*lines, describe_guards(learning, everyone), describe_cost(everyone)])


def count(number: int, noun: str) -> str:
    """A number of things, in the singular or the plural."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def describe_stage(name: str) -> str:
    """What a stage tries, in words."""
    return MOVES.get(name, f"the paper's shape {name}")


def describe_progress(learning: Learning, seconds_left: float | None) -> str:
    """What a learning does now, and the best so far."""
    task, total = learning.task, learning.ladder.total
    now = f"Schedule {min(len(learning.candidates()) + 1, total)} of {total}"
    if learning.stage is not None:
        now += f": {describe_stage(learning.stage)}"
    lines = [f"{now}. Set {min(learning.measuring + 1, task.pairs)} of {task.pairs}."]
    best = learning.best()
    if best is not None:
        lines.append(f"Best so far: score {best.score(learning.weights):.3f}.")
    if seconds_left is not None:
        lines.append(f"About {count(max(1, round(seconds_left / 60)), 'minute')} left.")
    return "\n".join(lines)


def describe(name: str, one: Candidate) -> str:
    scores = ", ".join(f"{key} {one.score(weights):.3f}" for key, weights in WEIGHTS.items())
    lost = f", {one.lost} of {len(one.measured)} sets lost" if one.lost else ""
    f_bg = "none" if math.isnan(one.f_bg) else f"{1e4 * one.f_bg:.1f}e-4"
    return f"{name}: {scores}; f_bg {f_bg}, f_ti {one.f_ti:.2f}{lost}"


def describe_parameters(one: Candidate) -> str:
    return ", ".join(f"{name} {value:.3g}" for name, value in one.params.items())


def describe_guards(learning: Learning, everyone: Sequence[Candidate]) -> str:
    """How many schedules were kept out, and why."""
    out = sum(one.lost > learning.task.most_lost for one in everyone)
    early = sum(not one.complete and one.lost <= learning.task.most_lost for one in everyone)
    return (
        f"{count(len(everyone), 'schedule')} tried: {out} kept out because more than"
        f" {count(learning.task.most_lost, 'set')} lost their entity or their background, {early}"
        " given up early as surely worse."
    )


def describe_cost(everyone: Sequence[Candidate]) -> str:
    made = sum(one.calls[0] for one in everyone)
    saved = sum(one.calls[1] for one in everyone)
    share = saved / max(1, made + saved)
    return (
        f"{made} model calls made, {saved} ({share:.0%}) saved by shared beginnings; "
        f"{sum(one.seconds for one in everyone) / 60:.1f} minutes."
    )


def find_front(everyone: Sequence[Candidate]) -> list[Candidate]:
    """Those that no other one beats in both f_bg and f_ti, by rising f_ti."""
    found: list[Candidate] = []
    for one in sorted(everyone, key=lambda one: (one.f_ti, one.f_bg), reverse=True):
        if not found or one.f_bg > found[-1].f_bg:
            found.append(one)
    return found[::-1]
