"""Split prompts by rules alone: what all of them say is the background, the rest of each is its
entity.

In short: clauses that all prompts have are shared; then, longest first, runs of words that all
prompts have, where the run can be cut out without tearing a phrase. Shared words that are
incidental ("a", "in a red") stay with their entity. The words stay as written. Deterministic, and
what is shared does not depend on the order of prompts.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence

from . import phrases
from .phrases import Prompt, Span
from .split import SplitPrompts, check_prompts, one_line, shorten
from .words import DANGLING, PLACE_WORDS

MIN_TAIL = 4  # words at the end of a clause, in a language without a known place word
MIN_HEAD = (
    3  # words at the start of a clause; they must open with a place word, or they are a subject
)
MIN_INNER = 4  # words inside a clause; the same
MIN_FALLBACK = 3  # words of the one run that serves when no other is good enough


def rules(prompts: Sequence[str]) -> SplitPrompts:
    """Split n >= 2 prompts into the background that they share and what is each one's own.

    Raises ValueError for one prompt, for identical prompts, when nothing is shared, or when a
    prompt has nothing of its own.
    """
    prompts = tuple(map(one_line, prompts))
    check_prompts(prompts)
    parsed = [phrases.parse(prompt) for prompt in prompts]
    share_clauses(parsed)
    share_runs(parsed)
    if not any(parsed[0].shared):
        raise ValueError(
            "The prompts share no scene that could be the background. Describe the place in the"
            " same words in every prompt, best as its last part, for example '… in a misty forest"
            " at dawn.'."
        )
    manner = phrases.manner_of(prompts)
    background = common_rendering(
        [phrases.finish(phrases.shared_text(prompt), manner) for prompt in parsed]
    )
    entities = tuple(phrases.finish(phrases.own_text(prompt), manner) for prompt in parsed)
    check_entities(entities, background)
    return SplitPrompts(background, entities, prompts)


def check_entities(entities: Sequence[str], background: str) -> None:
    """Raises ValueError when a prompt says nothing besides the background."""
    for number, entity in enumerate(entities, 1):
        if not entity:
            raise ValueError(
                f"Prompt {number} says nothing besides the shared text ('{shorten(background)}')."
                " Add its subject, for example 'A red fox runs …', or remove that line."
            )


def common_rendering(texts: Sequence[str]) -> str:
    """The shared text as most prompts write it; between equals the shortest, then the first in the
    alphabet.
    """
    counts = Counter(texts)
    return min(counts, key=lambda text: (-counts[text], len(text), text))


def share_clauses(prompts: list[Prompt]) -> None:
    """Mark the clauses that stand in every prompt."""
    per_prompt = [prompt.clauses() for prompt in prompts]
    common = set.intersection(*(set(clauses) for clauses in per_prompt))
    for keys in common:
        for prompt, clauses in zip(prompts, per_prompt, strict=True):
            prompt.share(clauses[keys])


def share_runs(prompts: list[Prompt]) -> None:
    """Mark the runs of words that stand in every prompt and can be cut out of it."""
    runs = [piece for run in common_runs(prompts) for piece in cut_at_clauses(prompts, run)]
    runs = sorted((trim(prompts, run) for run in runs), key=len_of, reverse=True)
    accepted = [run for run in runs if is_scene(prompts, run)]
    if not accepted and not any(prompts[0].shared):
        accepted = [run for run in runs if is_fallback(prompts, run)][:1]
    for run in accepted:
        for prompt, span in zip(prompts, run, strict=True):
            prompt.share(span)


Run = tuple[
    Span, ...
]  # the same words in every prompt, at prompt i in words[run[i].start:run[i].stop]


def len_of(run: Run) -> int:
    """Words in a run."""
    return len(run[0])


def common_runs(prompts: list[Prompt]) -> list[Run]:
    """The common runs of two words or more outside the shared clauses, longest first, none
    overlapping another.
    """
    taken = [list(prompt.shared) for prompt in prompts]
    found: list[Run] = []
    lengths = range(2, min(len(prompt.keys) for prompt in prompts) + 1)
    # no common run of k words means none of k + 1, so the longest is found by bisection
    while longer := bisect_left(
        lengths, True, key=lambda length: not runs_of_length(prompts, taken, length)
    ):
        runs = runs_of_length(prompts, taken, lengths[longer - 1])
        found.append(runs[min(runs)])
        for used, span in zip(taken, found[-1], strict=True):
            used[span.start : span.stop] = [True] * len(span)
    return found


def runs_of_length(
    prompts: list[Prompt], taken: list[list[bool]], length: int
) -> dict[tuple[str, ...], Run]:
    """The common runs of `length` words that are not taken, by their words."""
    grams = [ngrams(prompt.keys, used, length) for prompt, used in zip(prompts, taken, strict=True)]
    common = set.intersection(*map(set, grams))
    return {keys: tuple(gram[keys] for gram in grams) for keys in common}


def ngrams(keys: Sequence[str], used: Sequence[bool], length: int) -> dict[tuple[str, ...], Span]:
    """Where each free run of `length` words stands; the last one, if it stands there twice."""
    starts = range(len(keys) - length + 1)
    return {
        tuple(keys[i : i + length]): range(i, i + length)
        for i in starts
        if not any(used[i : i + length])
    }


def cut_at_clauses(prompts: list[Prompt], run: Run) -> list[Run]:
    """The pieces of a run between the places where every prompt has a clause boundary."""
    ends = [
        k + 1
        for k in range(len_of(run))
        if all(p.ends_clause(s[k]) for p, s in zip(prompts, run, strict=True))
    ]
    cuts = sorted({0, *ends, len_of(run)})
    return [tuple(span[a:b] for span in run) for a, b in zip(cuts, cuts[1:], strict=False)]


def at_start(prompts: list[Prompt], run: Run) -> bool:
    """Does a clause, or what is left of it, begin with the run in every prompt?"""
    return all(
        prompt.is_open_left(span.start)
        for prompt, span in zip(prompts, run, strict=True)
        if len(span)
    )


def at_end(prompts: list[Prompt], run: Run) -> bool:
    """Does a clause, or what is left of it, end with the run in every prompt?"""
    return all(
        prompt.is_open_right(span.stop)
        for prompt, span in zip(prompts, run, strict=True)
        if len(span)
    )


def trim(prompts: list[Prompt], run: Run) -> Run:
    """Without a torn end ("… at dawn a") and, unless a clause begins here, from its first place
    word on.
    """
    keys = prompts[0].keys
    start, stop = 0, len_of(run)
    if not at_end(prompts, run):
        while stop and keys[run[0][stop - 1]] in DANGLING:
            stop -= 1
    if not at_start(prompts, run):
        # "fox sits in a meadow" in "A red fox sits in a meadow": subject and verb belong to the
        # entity
        start = next((k for k in range(stop - 1) if keys[run[0][k]] in PLACE_WORDS), 0)
    return tuple(span[start:stop] for span in run)


def is_scene(prompts: list[Prompt], run: Run) -> bool:
    """Can the run be cut out of every prompt, leaving the phrases around it whole?"""
    words = [prompts[0].keys[k] for k in run[0]]
    placed = bool(words) and words[0] in PLACE_WORDS
    if not words:
        return False
    if at_end(prompts, run):
        return at_start(prompts, run) or len(words) >= (2 if placed else MIN_TAIL)
    if at_start(prompts, run):
        return placed and len(words) >= MIN_HEAD
    return placed and len(words) >= MIN_INNER and content(words) >= 2


def is_fallback(prompts: list[Prompt], run: Run) -> bool:
    """Is the run long enough to serve when nothing else is shared?

    The start of a clause is a subject, and not.
    """
    words = [prompts[0].keys[k] for k in run[0]]
    return len(words) >= MIN_FALLBACK and content(words) >= 2 and not at_start(prompts, run)


def content(words: Sequence[str]) -> int:
    """Words that are neither articles, place words nor links."""
    return sum(word not in DANGLING for word in words)
