"""A small grammar that is expanded to records: places × pairs of subjects × phrasings."""

import itertools
import json
from collections.abc import Iterator
from pathlib import Path

KEYS = {"places", "subjects", "phrasings", "images", "count"}
PHRASING = "{subject} {place}."


def expand(path: Path) -> Iterator[dict]:
    """The records of a grammar, in an order that is the same everywhere.

    The file is JSON: `places`, texts; `subjects`, {name: text, such as "a red fox runs"};
    `phrasings`, texts with {subject} and {place} in them; `images`, how many a set has (2);
    `count`, how many sets at most, spread evenly over all that there are.

    ValueError names what is wrong.
    """
    grammar = read_grammar(path)
    subjects = list(grammar["subjects"].items())
    size = grammar.get("images", 2)
    groups = list(itertools.combinations(range(len(subjects)), size))
    phrasings = grammar.get("phrasings") or [PHRASING]
    every = list(
        itertools.product(range(len(phrasings)), range(len(groups)), range(len(grammar["places"])))
    )
    count = min(grammar.get("count", len(every)), len(every))
    for number in range(count):
        phrasing, group, place = every[number * len(every) // count]
        some = [subjects[i] for i in groups[group]]
        where = grammar["places"][place]
        yield {
            "id": "-".join(
                [f"place{place:03}", *(name.replace(" ", "_") for name, _ in some), f"p{phrasing}"]
            ),
            "prompts": [write(phrasings[phrasing], text, where) for _, text in some],
            "subjects": [name for name, _ in some],
        }


def read_grammar(path: Path) -> dict:
    try:
        grammar = json.loads(path.read_text(encoding="utf-8-sig"))
    except ValueError as error:
        raise ValueError(f"{path.name} is no JSON: {error}.") from error
    if not isinstance(grammar, dict) or not {"places", "subjects"} <= set(grammar):
        raise ValueError(f"{path.name} is no grammar: it must hold places and subjects.")
    if unknown := sorted(set(grammar) - KEYS):
        raise ValueError(f"{path.name} holds {', '.join(unknown)}; known are {', '.join(KEYS)}.")
    lists = [grammar["places"], grammar.get("phrasings", [])]
    if not all(isinstance(one, list) for one in lists):
        raise ValueError(f"{path.name}: places and phrasings must be lists of texts.")
    texts = sum(lists, [])
    if not isinstance(grammar["subjects"], dict):
        raise ValueError(f"{path.name}: subjects must be an object of names and texts.")
    if not all(isinstance(text, str) for text in [*texts, *grammar["subjects"].values()]):
        raise ValueError(f"{path.name}: places, subjects and phrasings must be texts.")
    for phrasing in grammar.get("phrasings", []):
        if "{subject}" not in phrasing or "{place}" not in phrasing:
            raise ValueError(
                f"{path.name}: the phrasing {phrasing!r} lacks {{subject}} or {{place}}."
            )
    for key in ("images", "count"):
        number = grammar.get(key, 2)
        if not isinstance(number, int) or number < 1 + (key == "images"):
            raise ValueError(f"{path.name}: {key} must be a whole number; it is {number!r}.")
    return grammar


def write(phrasing: str, subject: str, place: str) -> str:
    text = phrasing.replace("{subject}", subject).replace("{place}", place)
    return text[:1].upper() + text[1:]
