"""The prompt sets that the methods are compared on: the paper's own, and held-out ones of the mini
world.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

from coupled.mini.world import PLACES, SUBJECTS, held_out
from coupled.mini.world.captions import sentence
from coupled.prompts.rules import rules

PAPER, HELD_OUT = "paper", "held out"
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
CHOICES = (
    (0, 1),
    (2, 3),
    (0, 3),
    (0, 1, 2),
)  # of the held-out subjects of a place: three pairs and a triple


@dataclass(frozen=True)
class PromptSet:
    """n prompts and their two halves, as Split Prompts gives them by rules.

    `name` serves as a file name.
    """

    name: str
    group: str
    prompts: tuple[str, ...]
    background: str
    entities: tuple[str, ...]


def split_set(name: str, group: str, prompts: tuple[str, ...]) -> PromptSet:
    split = rules(prompts)
    return PromptSet(name, group, split.prompts, split.background, split.entities)


def paper_sets() -> list[PromptSet]:
    """The three pairs of the paper's Figures 3 to 5."""
    return [split_set(name, PAPER, prompts) for name, prompts in PAPER_PROMPTS.items()]


def held_out_sets() -> list[PromptSet]:
    """27 pairs and 9 triples of subjects in places that they were never trained in, in all their
    phrasings.
    """
    sets = []
    for place in PLACES:
        subjects = [s for s in SUBJECTS if held_out(s.name, place.name)]
        for turn, choice in enumerate(CHOICES):
            some = [subjects[i] for i in choice]
            where = f"{pick(place.phrases, turn)}, {pick(place.tails, turn)}"
            prompts = tuple(
                sentence(f"{pick(s.nouns, turn)} {pick(s.verbs, turn)} {where}") for s in some
            )
            sets.append(
                split_set("-".join([*(s.name for s in some), place.name]), HELD_OUT, prompts)
            )
    return sets


def pick(options: tuple[str, ...], turn: int) -> str:
    return options[turn % len(options)]


def sweep_sets(sets: list[PromptSet]) -> list[PromptSet]:
    """The sets whose centers are swept: the paper's, and every ninth of the held-out ones."""
    return [one for one in sets if one.group == PAPER] + list(
        itertools.islice((one for one in sets if one.group == HELD_OUT), 0, None, 9)
    )
