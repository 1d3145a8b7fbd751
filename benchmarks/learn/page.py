"""Writes what was learnt: docs/learned.md, the same as JSON, curve and front as SVG, and the
schedule's file.
"""

from __future__ import annotations

import json
from pathlib import Path

from coupled.metrics.score import PRESETS
from coupled.optimize import Learning
from coupled.optimize.learn import FAMILIES
from coupled.optimize.report import cost, guards, learned
from coupled.schedules import to_json

from .pictures import curves, front_picture
from .trial import LEARNED, Contender, Trial, mean, spread

NAME = "mini-flux"
HOW_TO_READ = """\
Scores are mean ± standard deviation over the held-out sets and seeds; higher is better. *stated* is
300·f_bg + f_ti/30, *tabulated* 350·f_bg + f_ti/20 + 0.5. A set is **lost** when no entity is found,
when the entities hide the background, or when an image suits another prompt of its set better than
its own; it counts with f_bg = −0.0135, what uncoupled pictures of one seed have. The column f_bg is
the mean of the sets that were not lost. Training chose each family's center and k, once for each
preset; the learned schedule was trained for the mean of both."""


class Page:
    """One learning and its trial on held-out sets."""

    def __init__(self, learning: Learning, trial: Trial, docs: Path, schedules: Path):
        self.learning, self.trial, self.docs, self.schedules = learning, trial, docs, schedules
        self.candidates = learning.candidates()

    def write(self) -> None:
        """All files; those of an earlier run are replaced."""
        pictures = self.docs / "learned"
        for folder in (pictures, self.schedules):
            folder.mkdir(parents=True, exist_ok=True)
        (pictures / "curve.svg").write_text(
            curves(self.drawn(), self.trial.steps), encoding="utf-8"
        )
        (pictures / "front.svg").write_text(
            front_picture(self.learning, self.candidates), encoding="utf-8"
        )
        (self.docs / "learned.json").write_text(
            json.dumps(self.numbers(), indent=1) + "\n", encoding="utf-8"
        )
        (self.docs / "learned.md").write_text(self.markdown(), encoding="utf-8")
        schedule = learned(self.learning, NAME, "Mini Flux")
        (self.schedules / f"{NAME}.json").write_text(
            to_json(schedule), encoding="utf-8", newline="\n"
        )

    def drawn(self) -> list[Contender]:
        """The learned curve, and of each family the first."""
        shown: dict[str, Contender] = {}
        for one in self.trial.contenders:
            shown.setdefault(one.shape, one)
        return [one for shape, one in shown.items() if shape in (LEARNED, *FAMILIES)]

    # --- the page ---

    def markdown(self) -> str:
        return (
            "\n\n".join(
                [
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
                    (
                        "Every schedule that was tried to the end on the training sets. On the"
                        " front none is better in both."
                    ),
                    "## Cost",
                    self.costs(),
                ]
            )
            + "\n"
        )

    def summary(self) -> str:
        task, sets = self.learning.task, len(self.trial.sets)
        painter = task.painter
        state = "" if self.learning.finished else " The learning was stopped before its end."
        return (
            f"Made by `python3 dev.py optimize` on Mini Flux, {self.trial.steps} steps, mode"
            f" *{painter.settings.mode}*, entity text *{painter.settings.entity_text}*: learnt on"
            f" {len(painter.sets)} sets × {len(painter.seeds)} seeds, measured on {sets} held-out"
            f" sets × {len(self.trial.painter.seeds)} other seeds. No pair of a subject and a place"
            f" of the held-out sets was in training, neither of theta nor of the model.{state} Load"
            f" it with **Load Theta**: `{NAME}.json [learned]`."
        )

    def table(self) -> str:
        head = "| θ | stated | tabulated | f_bg ×10⁻⁴ | f_ti | lost |\n|---|---|---|---|---|---|"
        return "\n".join([head, *map(self.row, self.trial.contenders)])

    def row(self, one: Contender) -> str:
        scores = [self.trial.scores(one.label, preset) for preset in PRESETS]
        results = self.trial.results[one.label]
        kept = [measured.f_bg for measured in results if measured.reason is None]
        f_bg = f"{1e4 * mean(kept):.1f}" if kept else "–"
        best = f" (best by {' and '.join(one.presets)})" if one.shape in FAMILIES else ""
        f_ti = f"{mean([measured.f_ti for measured in results]):.2f}"
        cells = [
            f"{one.label}{best}",
            *(f"{mean(numbers):.3f} ± {spread(numbers):.3f}" for numbers in scores),
            f_bg,
            f_ti,
            f"{len(results) - len(kept)} of {len(results)}",
        ]
        return f"| {' | '.join(cells)} |"

    def verdict(self, preset: str) -> str:
        """Learned against the hardest of the families, in words that follow the numbers."""
        rival = self.trial.rival(preset)
        gap = self.trial.difference(LEARNED, rival.label, preset)
        won = "beats" if gap["mean"] > 0 else "does not beat"
        return (
            f"**{preset}**: the learned schedule {won} the best family ({rival.label}) by"
            f" {gap['mean']:+.3f} ± {gap['error']:.3f} (mean difference set by set and its standard"
            f" error); it is better on {gap['wins']} of {gap['count']} sets and seeds, equal on"
            f" {gap['ties']}."
        )

    def values(self) -> str:
        values = learned(self.learning).values(self.trial.steps)
        return f"`{', '.join(f'{value:g}' for value in values)}`"

    def costs(self) -> str:
        return (
            f"{guards(self.learning, self.candidates)} {cost(self.candidates)} A model call is one"
            " sampling step of one set."
        )

    # --- the numbers ---

    def numbers(self) -> dict:
        """All of it as JSON."""
        calls = [sum(one.calls[i] for one in self.candidates) for i in (0, 1)]
        return {
            "finished": self.learning.finished,
            "learned": learned(self.learning).values(self.trial.steps),
            "contenders": {one.label: self.measures(one) for one in self.trial.contenders},
            "differences": {
                preset: {
                    one.label: self.trial.difference(LEARNED, one.label, preset)
                    for one in self.trial.contenders[1:]
                }
                for preset in PRESETS
            },
            "rivals": {preset: self.trial.rival(preset).label for preset in PRESETS},
            "candidates": [
                {
                    "stage": one.stage,
                    "value": one.value,
                    "f_bg": one.f_bg if one.scored else None,
                    "f_ti": one.f_ti,
                    "lost": one.lost,
                    "complete": one.complete,
                }
                for one in self.candidates
            ],
            "calls": {"made": calls[0], "saved": calls[1]},
            "minutes": round(sum(one.seconds for one in self.candidates) / 60, 2),
        }

    def measures(self, one: Contender) -> dict:
        scores = {preset: self.trial.scores(one.label, preset) for preset in PRESETS}
        training = one.training and {
            preset: one.training.score(weights) for preset, weights in PRESETS.items()
        }
        return {
            "shape": one.shape,
            "best by": one.presets,
            "theta": one.schedule.values(self.trial.steps),
            "training": training,
            "held out": {
                preset: {"mean": mean(s), "spread": spread(s)} for preset, s in scores.items()
            },
            "lost": sum(measured.reason is not None for measured in self.trial.results[one.label]),
        }
