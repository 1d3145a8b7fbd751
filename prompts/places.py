"""Warn when the place went to the entities. A split can be well formed and its background without
a place; then the pictures have nothing in common but the light.
"""

from __future__ import annotations

from collections.abc import Sequence

from .phrases import Prompt, read_prompt
from .split import SplitPrompts, shorten
from .words import DANGLING, STYLE_ADJECTIVES, STYLE_NOUNS, TIME_AND_LIGHT

NO_PLACE = DANGLING | STYLE_ADJECTIVES | STYLE_NOUNS | TIME_AND_LIGHT


def find_misplaced_place(split: SplitPrompts) -> str:
    """A warning for the user when the place seems to have gone to the entities; else nothing.

    That is where every entity names a place and the background names none ("At sunset."), or where
    all entities end with the same one.
    """
    places = [find_place_nouns(read_prompt(entity)) for entity in split.entities]
    if not all(places):
        return ""
    last = {nouns[-1] for nouns in places}
    if len(last) == 1:
        found = f"every entity names the same place ('{last.pop()}')"
    elif all(key in NO_PLACE for key in read_prompt(split.background).keys):
        found = f"the background ('{shorten(split.background, 60)}') names none"
    else:
        return ""
    return (
        "Describe the place in the same words in every prompt, best as its last part: it seems to"
        f" have gone to the entities, since {found}."
    )


def find_place_nouns(prompt: Prompt) -> Sequence[str]:
    """The last word of each place that the prompt names ("beach" of "on a sandy beach")."""
    clauses = prompt.find_clauses().values()
    last = [prompt.keys[span[-1]] for clause in clauses for span in prompt.find_places(clause)]
    return [key for key in last if key not in NO_PLACE]
