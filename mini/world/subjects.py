"""The subjects: their pictures, the words that name them and their own framing."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from PIL import Image

SPRITES = Path(__file__).parent / "sprites"  # made by training/make_sprites.py


@dataclass(frozen=True)
class Subject:
    """`nouns` with their article, `verbs` in the third person; `size`: share of the height;
    `flies`: in the air.
    """

    name: str
    nouns: tuple[str, ...]
    verbs: tuple[str, ...]
    size: float = 0.46
    flies: bool = False


STANDS = ("stands", "is standing", "rests")

SUBJECTS = (
    Subject(
        "eagle",
        ("an eagle", "a bald eagle", "a majestic eagle"),
        ("soars gracefully", "flies", "soars"),
        0.5,
        True,
    ),
    Subject(
        "fox",
        ("a red fox", "a fox", "an orange fox"),
        ("runs", "looks around", "stands"),
        0.42,
    ),
    Subject(
        "deer",
        ("a majestic stag", "a deer", "a stag"),
        ("standing proud", "stands", "walks"),
        0.54,
    ),
    Subject(
        "squirrel",
        ("a squirrel", "a little squirrel", "a brown squirrel"),
        ("perched on a branch", "sits", "eats a nut"),
        0.44,
    ),
    Subject("dog", ("a dog", "a happy dog", "a brown dog"), ("sits", "plays", "stands")),
    Subject("cat", ("a cat", "an orange cat", "a ginger cat"), ("sits", "walks", "stands")),
    Subject("owl", ("an owl", "a brown owl", "a wise owl"), ("sits", "watches", "rests"), 0.44),
    Subject(
        "penguin",
        ("a penguin", "a small penguin", "a cute penguin"),
        ("waddles", "stands", "walks"),
        0.44,
    ),
    Subject(
        "flamingo",
        ("a flamingo", "a pink flamingo", "an elegant flamingo"),
        ("stands on one leg", "stands", "rests"),
        0.54,
    ),
    Subject(
        "robot",
        ("a robot", "a metal robot", "a friendly robot"),
        ("stands", "waits", "looks around"),
        0.42,
    ),
    Subject(
        "woman",
        ("a young woman in a red dress", "a woman in a red dress", "a dancing woman"),
        ("dancing", "dances", "is dancing"),
        0.54,
    ),
    Subject(
        "man",
        ("a man in a suit", "an elderly man in a suit", "a man in a black suit"),
        STANDS,
        0.54,
    ),
    Subject(
        "saxophonist",
        (
            "an elderly man in a suit playing saxophone",
            "a man playing saxophone",
            "a man in a suit playing saxophone",
        ),
        ("", "", "stands"),
        0.54,
    ),
    Subject(
        "car",
        ("a red car", "a car", "a small red car"),
        ("drives", "is parked", "stops"),
        0.46,
    ),
    Subject(
        "snowman",
        ("a snowman", "a snowman with a hat", "a white snowman"),
        ("stands", "smiles", "waits"),
        0.48,
    ),
    Subject(
        "panda",
        ("a panda", "a cute panda", "a giant panda"),
        ("sits", "looks around", "rests"),
        0.42,
    ),
)


@cache
def sprite(subject: Subject) -> Image.Image:
    """RGBA picture of the subject, cropped to what is drawn; it looks to the left."""
    return Image.open(SPRITES / f"{subject.name}.webp").convert("RGBA")
