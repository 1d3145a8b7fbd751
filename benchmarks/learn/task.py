"""The training sets of the mini world, apart from the held-out ones, and the task of learning on
them.
"""

from __future__ import annotations

import numpy as np

from coupled.mini.world import PLACES, SUBJECTS, held_out
from coupled.mini.world.captions import sentence
from coupled.optimize import ModelMeter, Painter, PromptSet, Settings, Task
from coupled.optimize.sets import split_set

from ..models import MINI_POINTS, empty_latent, mini_bench
from ..quality.run import GUIDANCE
from ..sets import pick

TRAINING_SEED, HELD_OUT_SEED = 1001, 2001  # the first noise of the one and of the other
MODE, ENTITY_TEXT = "local", "full prompt"


def training_sets(count: int) -> list[PromptSet]:
    """Three pairs and a triple, and so on, of subjects in places where Mini Flux has seen them;
    each place in turn.
    """
    rng, sets = np.random.default_rng(4), []
    for turn in range(count):
        place = PLACES[turn % len(PLACES)]
        known = [subject for subject in SUBJECTS if not held_out(subject.name, place.name)]
        some = [known[i] for i in rng.choice(len(known), 3 if turn % 4 == 3 else 2, replace=False)]
        cycle = turn // len(PLACES)
        where = f"{pick(place.phrases, cycle)}, {pick(place.tails, cycle)}"
        sets.append(
            split_set(
                tuple(
                    sentence(f"{pick(s.nouns, cycle)} {pick(s.verbs, cycle)} {where}") for s in some
                )
            )
        )
    return sets


def mini_task(sets: int, seeds: int, steps: int, candidates: int) -> Task:
    """Mini Flux with the mini measuring models, both presets weighed alike."""
    bench = mini_bench(steps)
    meter = ModelMeter(bench.meter.segmenter, bench.meter.clip_model, bench.name, MINI_POINTS)
    painter = Painter(
        bench.painter.model,
        bench.painter.clip,
        bench.painter.vae,
        training_sets(sets),
        [TRAINING_SEED + i for i in range(seeds)],
        empty_latent(128),
        Settings(steps, guidance=GUIDANCE, mode=MODE, entity_text=ENTITY_TEXT),
    )
    return Task(painter, meter, "both", candidates)
