"""The two halves of a set of prompts: one background text and one entity text per prompt."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

INVISIBLE = dict.fromkeys(map(ord, "\ufeff\u200b\u2060"))


def one_line(text: str) -> str:
    """`text` in Unicode NFC with every run of white space, line breaks among them, as one space."""
    return " ".join(unicodedata.normalize("NFC", text).translate(INVISIBLE).split())


def lines_of(text: str) -> tuple[str, ...]:
    """The lines of `text` that are not blank, each cleaned by `one_line`."""
    return tuple(line for line in map(one_line, text.splitlines()) if line)


def parse_prompts(text: str) -> tuple[str, ...]:
    """Prompts from a text with one prompt per line; blank lines and extra spaces do not count.

    Raises ValueError unless there are at least two, all different: a coupled set has two images or
    more.
    """
    prompts = lines_of(text)
    check_prompts(prompts)
    return prompts


def parse_entities(text: str) -> tuple[str, ...]:
    """Entity texts from a text with one entity per line. Raises ValueError if there is none."""
    entities = lines_of(text)
    if not entities:
        raise ValueError(
            "The entities are empty. Write one entity per line, for example 'A red fox runs.'."
        )
    return entities


def check_prompts(prompts: Sequence[str]) -> None:
    """Raises ValueError unless there are two prompts or more and no two of them are the same."""
    if len(prompts) < 2:
        found = "There is only one prompt" if prompts else "There is no prompt"
        raise ValueError(f"{found}. A coupled set needs two or more: write one prompt per line.")
    pair = find_twins(prompts)
    if pair:
        raise ValueError(
            f"Prompts {pair[0]} and {pair[1]} are the same ('{shorten(prompts[pair[0] - 1])}'). "
            "Give each prompt a subject of its own, or remove one of the two lines."
        )


def find_twins(texts: Sequence[str]) -> tuple[int, int] | None:
    """The numbers, from 1, of the first two texts that differ at most in case, white space and end
    marks.
    """
    seen: dict[str, int] = {}
    for number, text in enumerate(texts, 1):
        key = one_line(text).casefold().rstrip(".!… ")
        if key in seen:
            return seen[key], number
        seen[key] = number
    return None


def shorten(text: str, limit: int = 80) -> str:
    """`text` on one line, cut to `limit` characters, for messages."""
    text = one_line(text)
    return text if len(text) <= limit else text[: limit - 1] + "…"


@dataclass(frozen=True)
class SplitPrompts:
    """A split set: `background` for all images, `entities[i]` for image i, from `prompts[i]`.

    Every text is one line and not empty, and there is one entity per prompt; otherwise ValueError.
    """

    background: str
    entities: tuple[str, ...]
    prompts: tuple[str, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "background", one_line(self.background))
        object.__setattr__(self, "entities", tuple(map(one_line, self.entities)))
        object.__setattr__(self, "prompts", tuple(map(one_line, self.prompts)))
        if len(self.entities) != len(self.prompts):
            raise ValueError(
                f"There are {len(self.prompts)} prompts but {len(self.entities)} entities."
            )
        if not self.background:
            raise ValueError(
                "The background is empty. Say in every prompt where the scene is, in the same"
                " words."
            )
        for number, entity in enumerate(self.entities, 1):
            if not entity:
                raise ValueError(
                    f"Entity {number} is empty. Give prompt {number} a subject of its own."
                )
