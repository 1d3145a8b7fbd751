"""The training sets: prompts of one background each, split into the background and the entities."""

import re

from ..prompts.rules import split_by_rules
from ..prompts.split import SplitPrompts


def parse_sets(text: str) -> list[SplitPrompts]:
    """Sets separated by blank lines, one prompt per line, split by rules.

    ValueError tells which set is unfit, and why.
    """
    blocks = [block.splitlines() for block in re.split(r"\n\s*\n", text.strip()) if block.strip()]
    if not blocks:
        raise ValueError(
            "There are no prompt sets. Write one prompt per line, two or more for each set, and a"
            " blank line between the sets."
        )
    return [
        split_set(tuple(filter(None, map(str.strip, lines))), i)
        for i, lines in enumerate(blocks, 1)
    ]


def split_set(prompts: tuple[str, ...], number: int = 1) -> SplitPrompts:
    """The set of some prompts.

    ValueError if there are fewer than two, or they share no background.
    """
    if len(prompts) < 2:
        raise ValueError(
            f"Set {number} has one prompt; a set needs two or more. Write the prompts of a set on"
            " lines that follow one another, and a blank line only between sets."
        )
    try:
        return split_by_rules(prompts)
    except ValueError as error:
        raise ValueError(f"Set {number}: {error}") from error
