"""Writes what was learned: a page with curve and front as SVG, its numbers as JSON, and the
schedule's file.
"""

from __future__ import annotations

import statistics
from pathlib import Path

from coupled.metrics.score import PRESETS
from coupled.optimize import Learning
from coupled.optimize.candidate import Candidate
from coupled.optimize.report import describe_cost, describe_guards, learned_schedule
from coupled.optimize.stages import SHAPES
from coupled.schedules import to_json

from ..command import write_json, write_text
from .pictures import draw_curves, draw_front
from .trial import LEARNED, Contender, Trial

NAME = "mini-flux"
HOW_TO_READ = """\
Scores are mean ± standard deviation over the held-out sets and seeds; higher is better. *stated* is
300·f_bg + f_ti/30, *tabulated* 350·f_bg + f_ti/20 + 0.5. A set is **lost** when no entity is found,
when the entities hide the background, or when an image suits another prompt of its set better than
its own; it counts with f_bg = −0.0135, what uncoupled pictures of one seed have. The column f_bg is
the mean of the sets that were not lost. Training chose each shape's center and k, once for each
preset; the learned schedule was trained for the mean of both."""


class Page:
    """One learning and its trial on held-out sets.

    folder: takes the page and its pictures. output: takes the numbers. schedules: the schedule.
    """

    def __init__(
        self, learning: Learning, trial: Trial, folder: Path, output: Path, schedules: Path
    ):
        self.learning = learning
        self.trial = trial
        self.folder = folder
        self.output = output
        self.schedules = schedules
        self.candidates = learning.candidates()

    def write(self) -> None:
        """All files; those of an earlier run are replaced."""
        pictures = self.folder / "learned"
        write_text(pictures / "curve.svg", draw_curves(self.select_drawn(), self.trial.steps))
        write_text(pictures / "front.svg", draw_front(self.learning, self.candidates))
        write_json(self.output / "learned.json", self.numbers())
        write_text(self.folder / "learned.md", self.markdown())
        schedule = learned_schedule(self.learning, NAME, "Mini Flux")
        write_text(self.schedules / f"{NAME}.json", to_json(schedule))

    def select_drawn(self) -> list[Contender]:
        """The learned curve, and of each shape the first."""
        shown: dict[str, Contender] = {}
        for one in self.trial.contenders:
            shown.setdefault(one.shape, one)
        return [one for shape, one in shown.items() if shape in (LEARNED, *SHAPES)]

    def markdown(self) -> str:
        parts = [
            "# A learned theta",
            self.summary(),
            "## On held-out sets",
            HOW_TO_READ,
            self.table(),
            *(self.verdict(preset) for preset in PRESETS),
            "## The curve",
            "![theta over the sampling steps](learned/curve.svg)",
            self.values(),
            "## Background against alignment",
            "![The front](learned/front.svg)",
            "Every schedule that was tried to the end on the training sets. On the front none is"
            " better in both.",
            "## Cost",
            self.costs(),
        ]
        return "\n\n".join(parts) + "\n"

    def summary(self) -> str:
        painter = self.learning.task.painter
        state = "" if self.learning.finished else " The learning was stopped before its end."
        return (
            f"Made by `python3 dev.py optimize` on Mini Flux, {self.trial.steps} steps, mode"
            f" *{painter.settings.mode}*, entity text *{painter.settings.entity_text}*: learned on"
            f" {len(painter.sets)} sets × {len(painter.seeds)} seeds, measured on"
            f" {len(self.trial.sets)} held-out sets × {len(self.trial.painter.seeds)} other seeds."
            " No pair of a subject and a place of the held-out sets was in training, neither of"
            f" theta nor of the model.{state} The schedule is `{NAME}.json`, for **Load Theta**."
        )

    def table(self) -> str:
        head = "| θ | stated | tabulated | f_bg ×10⁻⁴ | f_ti | lost |\n|---|---|---|---|---|---|"
        return "\n".join([head, *map(self.row, self.trial.contenders)])

    def row(self, one: Contender) -> str:
        results = self.trial.results[one.label]
        kept = [measured.f_bg for measured in results if measured.reason is None]
        scores = [self.trial.scores(one.label, preset) for preset in PRESETS]
        best = f" (best by {' and '.join(one.presets)})" if one.shape in SHAPES else ""
        cells = [
            f"{one.label}{best}",
            *(f"{statistics.fmean(s):.3f} ± {statistics.pstdev(s):.3f}" for s in scores),
            f"{1e4 * statistics.fmean(kept):.1f}" if kept else "–",
            f"{statistics.fmean(measured.f_ti for measured in results):.2f}",
            f"{len(results) - len(kept)} of {len(results)}",
        ]
        return f"| {' | '.join(cells)} |"

    def verdict(self, preset: str) -> str:
        """Learned against the hardest of the shapes, in words that follow the numbers."""
        rival = self.trial.find_rival(preset)
        gap = self.trial.compare(LEARNED, rival.label, preset)
        won = "beats" if gap["mean"] > 0 else "does not beat"
        return (
            f"**{preset}**: the learned schedule {won} the best shape ({rival.label}) by"
            f" {gap['mean']:+.3f} ± {gap['error']:.3f} (mean difference set by set and its standard"
            f" error); it is better on {gap['wins']} of {gap['count']} sets and seeds, equal on"
            f" {gap['ties']}."
        )

    def values(self) -> str:
        values = learned_schedule(self.learning).values(self.trial.steps)
        return f"`{', '.join(f'{value:g}' for value in values)}`"

    def costs(self) -> str:
        return (
            f"{describe_guards(self.learning, self.candidates)} {describe_cost(self.candidates)} A"
            " model call is one sampling step of one set."
        )

    def numbers(self) -> dict:
        """All of it as JSON."""
        contenders = self.trial.contenders
        return {
            "finished": self.learning.finished,
            "learned": learned_schedule(self.learning).values(self.trial.steps),
            "contenders": {one.label: self.contender_numbers(one) for one in contenders},
            "differences": {
                preset: {
                    one.label: self.trial.compare(LEARNED, one.label, preset)
                    for one in contenders[1:]
                }
                for preset in PRESETS
            },
            "rivals": {preset: self.trial.find_rival(preset).label for preset in PRESETS},
            "candidates": [candidate_numbers(one) for one in self.candidates],
            "calls": {
                "made": sum(one.calls[0] for one in self.candidates),
                "saved": sum(one.calls[1] for one in self.candidates),
            },
            "minutes": round(sum(one.seconds for one in self.candidates) / 60, 2),
        }

    def contender_numbers(self, one: Contender) -> dict:
        training = None
        if one.training is not None:
            training = {preset: one.training.score(weights) for preset, weights in PRESETS.items()}
        held_out = {}
        for preset in PRESETS:
            scores = self.trial.scores(one.label, preset)
            held_out[preset] = {
                "mean": statistics.fmean(scores),
                "spread": statistics.pstdev(scores),
            }
        return {
            "shape": one.shape,
            "best by": one.presets,
            "theta": one.schedule.values(self.trial.steps),
            "training": training,
            "held out": held_out,
            "lost": sum(measured.reason is not None for measured in self.trial.results[one.label]),
        }


def candidate_numbers(one: Candidate) -> dict:
    return {
        "stage": one.stage,
        "value": one.value,
        "f_bg": one.f_bg if one.scored else None,
        "f_ti": one.f_ti,
        "lost": one.lost,
        "complete": one.complete,
    }
