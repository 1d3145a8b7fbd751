"""The task of learning theta on the training sets of the mini world."""

from __future__ import annotations

from coupled.optimize import Painter, Settings, Task
from coupled.optimize.painter import FULL_PROMPT

from ..models import GUIDANCE, load_mini_bench
from ..sets import training_sets

# The first noise of the training sets, and of the held-out ones.
TRAINING_SEED = 1001
HELD_OUT_SEED = 2001
MODE = "local"
ENTITY_TEXT = FULL_PROMPT


def make_mini_task(sets: int, seeds: int, steps: int, candidates: int) -> Task:
    """Mini Flux with the mini measuring models, both presets weighed alike."""
    bench = load_mini_bench(steps)
    painter = Painter(
        bench.model,
        bench.clip,
        bench.vae,
        training_sets(sets),
        [TRAINING_SEED + i for i in range(seeds)],
        bench.latent,
        Settings(steps, guidance=GUIDANCE, mode=MODE, entity_text=ENTITY_TEXT),
    )
    return Task(painter, bench.meter, "both", candidates)
