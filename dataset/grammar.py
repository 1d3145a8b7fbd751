"""A small grammar that is expanded to records: places × groups of subjects × phrasings."""

import itertools
import json
import re
from collections.abc import Iterator
from pathlib import Path

KEYS = ("places", "subjects", "phrasings", "images", "count")
PHRASING = "{subject} {place}."
MOST = 30  # letters of a subject's name in an id


def expand(path: Path) -> Iterator[dict]:
    """The records of a grammar, in an order that is the same everywhere.

    The file is JSON: `places`, texts; `subjects`, {name: text, such as "a red fox runs"};
    `phrasings`, texts with {subject} and {place} in them; `images`, how many a set has (2);
    `count`, how many sets at most, spread evenly over all that there are.

    ValueError names what is wrong.
    """
    grammar = read_grammar(path)
    places, names = grammar["places"], list(grammar["subjects"])
    phrasings = grammar["phrasings"]
    groups = list(itertools.combinations(names, grammar["images"]))
    total = len(places) * len(groups) * len(phrasings)
    count = min(grammar.get("count", total), total)
    for number in range(count):
        rest, place = divmod(number * total // count, len(places))
        phrasing, group = divmod(rest, len(groups))
        subjects = groups[group]
        words = [f"place{place:03}", *(shorten(name, names) for name in subjects), f"p{phrasing}"]
        yield {
            "id": "-".join(words),
            "prompts": [
                write(phrasings[phrasing], grammar["subjects"][name], places[place])
                for name in subjects
            ],
            "subjects": list(subjects),
        }


def shorten(name: str, names: list[str]) -> str:
    """A subject's name as a part of an id; its number where it has no letters that may stand
    there.
    """
    letters = re.sub(r"[^A-Za-z0-9]+", "_", name).strip("_")[:MOST]
    return letters or f"subject{names.index(name)}"


def read_grammar(path: Path) -> dict:
    """The file's object, checked, with what it leaves out."""
    try:
        grammar = json.loads(path.read_text(encoding="utf-8-sig"))
    except ValueError as error:
        raise ValueError(f"{path.name} is no JSON: {error}.") from error
    if not isinstance(grammar, dict) or not {"places", "subjects"} <= set(grammar):
        raise ValueError(f"{path.name} is no grammar: it must hold places and subjects.")
    grammar = {"phrasings": [PHRASING], "images": 2, **grammar}
    try:
        check_grammar(grammar)
    except ValueError as error:
        raise ValueError(f"{path.name}: {error}") from error
    return grammar


def check_grammar(grammar: dict) -> None:
    if unknown := sorted(set(grammar) - set(KEYS)):
        raise ValueError(f"unknown {', '.join(unknown)}; known are {', '.join(KEYS)}.")
    for key in ("places", "phrasings"):
        if not is_texts(grammar[key]):
            raise ValueError(f"{key} must be a list of texts.")
    subjects = grammar["subjects"]
    if not isinstance(subjects, dict) or not is_texts(list(subjects.values())):
        raise ValueError("subjects must be an object of names and texts.")
    for phrasing in grammar["phrasings"]:
        if "{subject}" not in phrasing or "{place}" not in phrasing:
            raise ValueError(f"the phrasing {phrasing!r} lacks {{subject}} or {{place}}.")
    for key, least in (("images", 2), ("count", 1)):
        number = grammar.get(key, least)
        if type(number) is not int or number < least:
            raise ValueError(f"{key} must be a whole number from {least}; it is {number!r}.")
    if len(subjects) < grammar["images"]:
        raise ValueError(
            f"a set shows {grammar['images']} subjects, and there are {len(subjects)}."
        )


def is_texts(found: object) -> bool:
    """Whether it is a list of texts, one or more."""
    return isinstance(found, list) and bool(found) and all(isinstance(one, str) for one in found)


def write(phrasing: str, subject: str, place: str) -> str:
    text = phrasing.replace("{subject}", subject).replace("{place}", place)
    return text[:1].upper() + text[1:]
