"""The prompt sets of the benchmarks: the paper's own, held-out ones of the mini world, and those
that theta is learned on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from coupled.mini.world import PLACES, SUBJECTS, held_out
from coupled.mini.world.captions import sentence
from coupled.optimize.sets import split_set
from coupled.prompts.rules import split_by_rules
from coupled.prompts.split import SplitPrompts

PAPER = "paper"
HELD_OUT = "held out"
PAPER_PROMPTS = {
    "eagle-fox-meadow": (
        "An eagle soars gracefully in a vibrant meadow under a clear blue sky, bathed in sunlight.",
        "A red fox runs in a vibrant meadow under a clear blue sky, bathed in sunlight.",
    ),
    "man-woman-tokyo": (
        (
            "An elderly man in a suit playing saxophone on Tokyo night street, adorned with neon"
            " lights and billboards."
        ),
        (
            "A young woman in a red dress dancing on Tokyo night street, adorned with neon lights"
            " and billboards."
        ),
    ),
    "stag-squirrel-forest": (
        "A majestic stag standing proud in a misty forest at dawn, sunlight through trees.",
        "A squirrel perched on a branch in a misty forest at dawn, sunlight through trees.",
    ),
}
ABLATED = "stag-squirrel-forest"  # the pair of the paper's Table 4 and Figures 7 to 10


@dataclass(frozen=True)
class NamedSet(SplitPrompts):
    """A split set with a name, which serves as a file name, and the group that it belongs to."""

    name: str
    group: str


def name_set(name: str, group: str, prompts: tuple[str, ...]) -> NamedSet:
    """The prompts, split by rules."""
    split = split_by_rules(prompts)
    return NamedSet(split.background, split.entities, split.prompts, name, group)


def paper_sets() -> list[NamedSet]:
    """The three pairs of the paper's Figures 3 to 5."""
    return [name_set(name, PAPER, prompts) for name, prompts in PAPER_PROMPTS.items()]


def held_out_sets() -> list[NamedSet]:
    """22 pairs and 9 triples of subjects in places that they were never trained in, in all their
    phrasings.
    """
    sets = []
    for place in PLACES:
        subjects = [s for s in SUBJECTS if held_out(s.name, place.name)]
        choices = [*combinations(subjects, 2), *combinations(subjects, 3)]
        for turn, some in enumerate(choices):
            name = "-".join([*(s.name for s in some), place.name])
            sets.append(name_set(name, HELD_OUT, write_prompts(some, place, turn)))
    return sets


def training_sets(count: int) -> list[SplitPrompts]:
    """Three pairs and a triple, and so on, of subjects in places where Mini Flux has seen them;
    each place in turn.
    """
    rng = np.random.default_rng(4)
    sets = []
    for turn in range(count):
        place = PLACES[turn % len(PLACES)]
        subjects = [s for s in SUBJECTS if not held_out(s.name, place.name)]
        size = 3 if turn % 4 == 3 else 2
        some = [subjects[i] for i in rng.choice(len(subjects), size, replace=False)]
        sets.append(split_set(write_prompts(some, place, turn // len(PLACES))))
    return sets


def write_prompts(subjects: Sequence, place, turn: int) -> tuple[str, ...]:
    """A prompt for each subject in one place; every turn takes other phrasings."""
    where = f"{pick(place.phrases, turn)}, {pick(place.tails, turn)}"
    return tuple(sentence(f"{pick(s.nouns, turn)} {pick(s.verbs, turn)} {where}") for s in subjects)


def pick(options: tuple[str, ...], turn: int) -> str:
    return options[turn % len(options)]


def select_sweep_sets(sets: list[NamedSet]) -> list[NamedSet]:
    """The sets whose centers are swept: the paper's, and every ninth of the held-out ones."""
    held_out_ones = [one for one in sets if one.group == HELD_OUT]
    return [one for one in sets if one.group == PAPER] + held_out_ones[::9]
