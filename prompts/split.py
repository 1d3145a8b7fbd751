"""The two halves of a set of prompts: one background text and one entity text per prompt."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

INVISIBLE = dict.fromkeys(map(ord, "\ufeff\u200b\u2060"))
# "1. ", "(2) ", "Prompt 3: ", "- ": numbers or bullets of a list, and the prompt.
NUMBER = r"(?:(?:prompt|image|scene)\s*)?#?\d{1,3}\s*[.):](?!\d)|[(\[]\d{1,3}[)\]]"
LIST_MARK = re.compile(rf"(?:(?:{NUMBER})\s*|[-*•‣–—▪●○◦>]\s+)(?P<rest>\S.*)", re.IGNORECASE)
QUOTED = re.compile(r'["“](?P<rest>[^"“”]*\w[^"“”]*)["”][,;]?')


def one_line(text: str) -> str:
    """`text` in Unicode NFC with every run of white space, line breaks among them, as one space."""
    return " ".join(unicodedata.normalize("NFC", text).translate(INVISIBLE).split())


def lines_of(text: str) -> tuple[str, ...]:
    """The lines of `text` that are not blank, each cleaned by `one_line`."""
    return tuple(line for line in map(one_line, text.splitlines()) if line)


def parse_prompts(text: str) -> tuple[str, ...]:
    """Prompts from a text with one prompt per line; blank lines, extra spaces and what lists have
    around them do not count.

    ValueError unless there are at least two, all different: a coupled set has two images or
    more.
    """
    prompts = clean_prompts(lines_of(text))
    check_prompts(prompts)
    return prompts


def clean_prompts(prompts: Sequence[str]) -> tuple[str, ...]:
    """The prompts on one line each, without what a list puts around every one of them: numbers,
    bullets, quotes.
    """
    cleaned = list(map(one_line, prompts))
    while len(cleaned) > 1 and (inner := strip_list_marks(cleaned) or strip_quotes(cleaned)):
        cleaned = inner
    return tuple(cleaned)


def strip_list_marks(prompts: Sequence[str]) -> list[str]:
    """The prompts without bullets or numbers that count up; empty when not all have them."""
    found = [match for prompt in prompts if (match := LIST_MARK.match(prompt))]
    if len(found) < len(prompts):
        return []
    marks = [prompt[: match.start("rest")] for prompt, match in zip(prompts, found, strict=True)]
    numbers = [re.sub(r"\D", "", mark) for mark in marks]
    if all(numbers):
        is_list = all(int(b) == int(a) + 1 for a, b in zip(numbers, numbers[1:], strict=False))
    else:
        is_list = len(set(marks)) == 1
    return [match["rest"] for match in found] if is_list else []


def strip_quotes(prompts: Sequence[str]) -> list[str]:
    """The prompts without quotes around each; empty when not all have them."""
    found = [match for prompt in prompts if (match := QUOTED.fullmatch(prompt))]
    return [match["rest"].strip() for match in found] if len(found) == len(prompts) else []


def check_prompts(prompts: Sequence[str]) -> None:
    """ValueError unless there are two prompts or more and no two of them are the same."""
    if len(prompts) < 2:
        found = "there is only one prompt" if prompts else "there is no prompt"
        raise ValueError(f"Write two or more prompts, one per line: {found}.")
    pair = find_twins(prompts)
    if pair:
        raise ValueError(
            "Give each prompt a subject of its own, or remove one of the two lines: prompts"
            f" {pair[0]} and {pair[1]} are the same ('{shorten(prompts[pair[0] - 1])}')."
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
