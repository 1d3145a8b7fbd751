"""Runs of words that stand in every prompt, and where they can be cut out."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

from .phrases import Prompt, Span
from .words import DANGLING, PLACE_WORDS

# The same words in every prompt, at prompt i in words[run[i].start:run[i].stop].
Run = tuple[Span, ...]


def count_words(prompts: list[Prompt], run: Run) -> int:
    """Words in a run, articles among them, where it is longest."""
    return max(prompt.count_tokens(span) for prompt, span in zip(prompts, run, strict=True))


def find_common_runs(prompts: list[Prompt]) -> list[Run]:
    """The common runs of two words or more outside the shared clauses, longest first, none
    overlapping another.
    """
    taken = [list(prompt.shared) for prompt in prompts]
    found: list[Run] = []
    lengths = range(2, min(len(prompt.keys) for prompt in prompts) + 1)
    # no common run of k words means none of k + 1, so the longest is found by bisection
    while longer := bisect_left(
        lengths, True, key=lambda length: not find_runs(prompts, taken, length)
    ):
        runs = find_runs(prompts, taken, lengths[longer - 1])
        found.append(runs[min(runs)])
        for used, span in zip(taken, found[-1], strict=True):
            used[span.start : span.stop] = [True] * len(span)
    return found


def find_runs(
    prompts: list[Prompt], taken: list[list[bool]], length: int
) -> dict[tuple[str, ...], Run]:
    """The common runs of `length` words that are not taken, by their words."""
    grams = [
        find_ngrams(prompt.keys, used, length) for prompt, used in zip(prompts, taken, strict=True)
    ]
    common = set.intersection(*map(set, grams))
    return {keys: tuple(gram[keys] for gram in grams) for keys in common}


def find_ngrams(
    keys: Sequence[str], used: Sequence[bool], length: int
) -> dict[tuple[str, ...], Span]:
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
        for k in range(len(run[0]))
        if all(p.ends_clause(s[k]) for p, s in zip(prompts, run, strict=True))
    ]
    cuts = sorted({0, *ends, len(run[0])})
    return [tuple(span[a:b] for span in run) for a, b in zip(cuts, cuts[1:], strict=False)]


def is_at_start(prompts: list[Prompt], run: Run) -> bool:
    """Whether a clause, or what is left of it, begins with the run in every prompt."""
    return all(
        prompt.is_open_left(span.start)
        for prompt, span in zip(prompts, run, strict=True)
        if len(span)
    )


def is_at_end(prompts: list[Prompt], run: Run) -> bool:
    """Whether a clause, or what is left of it, ends with the run in every prompt."""
    return all(
        prompt.is_open_right(span.stop)
        for prompt, span in zip(prompts, run, strict=True)
        if len(span)
    )


def trim_run(prompts: list[Prompt], run: Run) -> Run:
    """Without a torn end ("… at dawn a") and, unless a clause begins here, from its first place
    word on.
    """
    keys = prompts[0].keys
    start, stop = 0, len(run[0])
    if not is_at_end(prompts, run):
        while stop and keys[run[0][stop - 1]] in DANGLING:
            stop -= 1
    if not is_at_start(prompts, run):
        # "fox sits in a meadow" in "A red fox sits in a meadow": subject and verb belong to the
        # entity
        start = next((k for k in range(stop - 1) if keys[run[0][k]] in PLACE_WORDS), 0)
    return tuple(span[start:stop] for span in run)
