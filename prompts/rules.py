"""Split prompts by rules alone: what all of them say is the background, the rest of each is its
entity.

In short: clauses that all prompts have are shared; then, longest first, runs of words that all
prompts have, where the run can be cut out without tearing a phrase; then places that all prompts
name, in whatever order; then the kind of picture in front. Shared words that are incidental ("a",
"in a red") stay with their entity. The words stay as written. Deterministic, and what is shared
does not depend on the order of prompts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from itertools import takewhile

from .phrases import (
    Prompt,
    Span,
    find_manner,
    match_manner,
    read_prompt,
    write_background,
    write_entity,
)
from .runs import (
    Run,
    count_words,
    cut_at_clauses,
    find_common_runs,
    is_at_end,
    is_at_start,
    trim_run,
)
from .split import SplitPrompts, check_prompts, clean_prompts, shorten
from .words import DANGLING, PLACE_WORDS, STYLE_ADJECTIVES, STYLE_LINKS, STYLE_NOUNS

MIN_TAIL = 4  # words at the end of a clause, in a language without a known place word
MIN_HEAD = 3  # words at the start of a clause; without a place word in front, they are a subject
MIN_INNER = 4  # words inside a clause; the same
MIN_FALLBACK = 3  # words of the one run that serves when no other is good enough
MAX_STYLE = 6  # words of a kind of picture ("a highly detailed oil painting")


def split_by_rules(prompts: Sequence[str]) -> SplitPrompts:
    """Split n >= 2 prompts into the background that they share and what is each one's own.

    ValueError for one prompt, for identical prompts, when nothing is shared, or when a
    prompt has nothing of its own.
    """
    prompts = clean_prompts(prompts)
    check_prompts(prompts)
    read = [read_prompt(prompt) for prompt in prompts]
    check_words(read, prompts)
    share_clauses(read)
    share_runs(read, is_scene)
    share_places(read)
    if not any(read[0].shared):
        share_runs(read, is_fallback, at_most=1)
    share_style(read)
    if not any(read[0].shared[read[0].style :]):
        raise ValueError(
            "Describe the place in the same words in every prompt, best as its last part, for"
            " example '… in a misty forest at dawn.': the prompts share no scene that could be the"
            " background."
        )
    manner = find_manner(prompts)
    background = pick_wording([match_manner(write_background(prompt), manner) for prompt in read])
    entities = tuple(match_manner(write_entity(prompt), manner) for prompt in read)
    check_entities(entities, prompts)
    return SplitPrompts(background, entities, prompts)


def check_words(read: list[Prompt], prompts: Sequence[str]) -> None:
    """ValueError if two prompts have the same words."""
    seen: dict[tuple[str, ...], int] = {}
    for number, prompt in enumerate(read, 1):
        first = seen.setdefault(tuple(prompt.keys), number)
        if prompt.keys and first != number:
            raise ValueError(
                f"Give prompts {first} and {number} subjects of their own, or remove one of the two"
                " lines: they say the same, but for an article, a plural or punctuation"
                f" ('{shorten(prompts[number - 1])}')."
            )


def check_entities(entities: Sequence[str], prompts: Sequence[str]) -> None:
    """ValueError if a prompt says nothing besides the background."""
    for number, entity in enumerate(entities, 1):
        if not entity:
            raise ValueError(
                f"Add a subject to prompt {number}, for example 'A red fox runs …', or remove that"
                " line: it says nothing besides the shared text"
                f" ('{shorten(prompts[number - 1])}')."
            )


def pick_wording(texts: Sequence[str]) -> str:
    """The shared text as most prompts write it; between equals the shortest, then the first in the
    alphabet.
    """
    counts = Counter(texts)
    return min(counts, key=lambda text: (-counts[text], len(text), text))


def share_clauses(prompts: list[Prompt]) -> None:
    """Mark the clauses that stand in every prompt."""
    per_prompt = [prompt.find_clauses() for prompt in prompts]
    common = set.intersection(*(set(clauses) for clauses in per_prompt))
    for keys in common:
        for prompt, clauses in zip(prompts, per_prompt, strict=True):
            prompt.share(clauses[keys])


def share_places(prompts: list[Prompt]) -> None:
    """Mark the places at the ends of clauses that every prompt names, in whatever order:
    "on the beach at sunset" and "at sunset on a beach".
    """
    common: set[tuple[str, ...]] | None = None
    while True:
        found = [find_last_places(prompt, common) for prompt in prompts]
        kept = set.intersection(*map(set, found))
        if kept == common:
            break
        common = kept  # where another place goes on after them, fewer are left the next time
    for prompt, places in zip(prompts, found, strict=True):
        for identity in kept:
            prompt.share(places[identity])


def find_last_places(
    prompt: Prompt, allowed: set[tuple[str, ...]] | None
) -> dict[tuple[str, ...], Span]:
    """The places with which the prompt's clauses end; of each clause, those after the last that is
    not `allowed`.
    """
    found = {}
    for clause in prompt.find_clauses().values():
        for span in reversed(prompt.find_places(clause)):
            if all(prompt.shared[span.start : span.stop]):
                continue
            identity = prompt.identify_place(span)
            if not any(identity) or (allowed is not None and identity not in allowed):
                break
            found.setdefault(identity, span)
    return found


def share_style(prompts: list[Prompt]) -> None:
    """Mark the kind of picture that every prompt begins with: "a photo" of "A photo of a fox"."""
    length = count_alike(prompts)
    if any(prompt.shared[0] for prompt in prompts if prompt.shared):
        return
    for stop in range(length, 0, -1):
        if all(is_style(prompt, stop) for prompt in prompts):
            for prompt in prompts:
                prompt.share(range(stop))
                prompt.style = stop
            return


def count_alike(prompts: list[Prompt]) -> int:
    """With how many of the same words all prompts begin, at most MAX_STYLE."""
    columns = zip(*(prompt.keys[:MAX_STYLE] for prompt in prompts), strict=False)
    return len(list(takewhile(lambda column: len(set(column)) == 1, columns)))


def is_style(prompt: Prompt, stop: int) -> bool:
    """Whether the first `stop` words are a kind of picture, and the subject follows."""
    words, keys = prompt.words[:stop], prompt.keys[:stop]
    one_phrase = not any(word.mark or len(word.tokens) > 1 for word in words[1:])
    if stop == len(prompt.keys) or words[0].mark or not one_phrase:
        return False
    if (DANGLING - {"and"}).intersection(keys):
        return False
    if prompt.keys[stop] in STYLE_LINKS:
        return keys[-1] in STYLE_NOUNS | STYLE_ADJECTIVES
    return keys[-1] in STYLE_ADJECTIVES and len(words[0].tokens) == 1


def share_runs(
    prompts: list[Prompt],
    is_fit: Callable[[list[Prompt], Run], bool],
    at_most: int | None = None,
) -> None:
    """Mark the fit ones, or the longest of these, of the runs of words that stand in every
    prompt.
    """
    runs = [piece for run in find_common_runs(prompts) for piece in cut_at_clauses(prompts, run)]
    runs = [trim_run(prompts, run) for run in runs]
    runs.sort(key=lambda run: len(run[0]), reverse=True)
    for run in [run for run in runs if is_fit(prompts, run)][:at_most]:
        for prompt, span in zip(prompts, run, strict=True):
            prompt.share(span)


def is_scene(prompts: list[Prompt], run: Run) -> bool:
    """Whether the run can be cut out of every prompt, leaving the phrases around it whole."""
    keys = [prompts[0].keys[k] for k in run[0]]
    if not keys:
        return False
    placed, length = keys[0] in PLACE_WORDS, count_words(prompts, run)
    if is_at_end(prompts, run):
        return is_at_start(prompts, run) or length >= (2 if placed else MIN_TAIL)
    if is_at_start(prompts, run):
        return placed and length >= MIN_HEAD
    return placed and length >= MIN_INNER and count_content(keys) >= 2


def is_fallback(prompts: list[Prompt], run: Run) -> bool:
    """Whether the run is long enough to serve when nothing else is shared.

    The start of a clause is a subject, and not.
    """
    keys = [prompts[0].keys[k] for k in run[0]]
    long_enough = count_words(prompts, run) >= MIN_FALLBACK and count_content(keys) >= 2
    return long_enough and not is_at_start(prompts, run)


def count_content(keys: Sequence[str]) -> int:
    """Words that are neither articles, place words nor links."""
    return sum(key not in DANGLING for key in keys)
