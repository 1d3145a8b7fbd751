"""The ladder: how many candidates each stage gets, and which stage is next."""

from __future__ import annotations

from collections.abc import Sequence

from .stages import FIRST_CENTERS, KNOTS, SHAPES, STEPS
from .study import StageStudy

# All stages of a rung are finished, by all workers, before the next rung begins.
RUNGS = (SHAPES, (KNOTS,), (STEPS,))
SHARES = {"sin": 0.18, "arctan": 0.18, "01": 0.09, KNOTS: 0.35, STEPS: 0.2}  # of the candidates


class Ladder:
    """Parts a number of candidates among the stages."""

    def __init__(self, candidates: int):
        self.candidates = candidates

    @property
    def total(self) -> int:
        """How many candidates all stages get: more than was asked for where that is few, since each
        stage tries its starts.
        """
        starts = {**dict.fromkeys(SHAPES, len(FIRST_CENTERS)), KNOTS: 1, STEPS: 1}
        return sum(max(starts[name], round(SHARES[name] * self.candidates)) for name in SHARES)

    def budget(self, stage: StageStudy) -> int:
        """How many candidates a stage gets; its starts in any case."""
        return max(len(stage.starts), round(SHARES[stage.name] * self.candidates))

    def remaining(self, stage: StageStudy) -> int:
        """How many candidates a stage has yet to begin, once those of lost workers are back in
        line.
        """
        stage.requeue_lost()
        begun = stage.count("COMPLETE", "RUNNING")
        return max(self.budget(stage) - begun, stage.count("WAITING"))

    def next_stage(self, rung: Sequence[StageStudy]) -> StageStudy | None:
        """The first stage of a rung that has candidates to begin."""
        return next((stage for stage in rung if self.remaining(stage) > 0), None)

    def is_running(self, rung: Sequence[StageStudy]) -> bool:
        """Whether a worker is still busy with a candidate of a rung."""
        return any(stage.count("RUNNING") for stage in rung)
