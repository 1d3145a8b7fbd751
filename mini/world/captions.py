"""Captions in natural phrasings: a subject in a place, a place alone, or a subject alone."""

from dataclasses import dataclass

import numpy as np

from .places import Place
from .subjects import Subject


@dataclass(frozen=True)
class Caption:
    """A caption and what it names; `None` where it leaves the subject or the place open."""

    text: str
    subject: str | None
    place: str | None


def sentence(text: str) -> str:
    text = " ".join(text.split()).strip(" ,")
    return text[0].upper() + text[1:] + "."


def caption(rng: np.random.Generator, subject: Subject | None, place: Place | None) -> Caption:
    """A random caption; `subject` or `place` may be left out, not both."""
    where = place_words(rng, place) if place else ""
    if subject is None:
        assert place is not None
        article = where.split(" ", 1)[1] if rng.random() < 0.75 else where
        return Caption(sentence(article), None, place.name)
    i, j = rng.integers(len(subject.nouns)), rng.integers(len(subject.verbs))
    who = f"{subject.nouns[i]} {subject.verbs[j]}" if rng.random() < 0.8 else subject.nouns[i]
    if place is None:
        return Caption(sentence(who), subject.name, None)
    if rng.random() < 0.15:
        return Caption(sentence(f"{where}, {who}"), subject.name, place.name)
    return Caption(sentence(f"{who} {where}"), subject.name, place.name)


def place_words(rng: np.random.Generator, place: Place) -> str:
    phrase = place.phrases[rng.integers(len(place.phrases))]
    if rng.random() < 0.4:
        return phrase
    joint = ". " if rng.random() < 0.1 else ", "
    tail = place.tails[rng.integers(len(place.tails))]
    return f"{phrase}{joint}{tail}"
