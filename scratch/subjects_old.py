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
    Subject(
        "horse",
        ("a horse", "a brown horse", "a wild horse"),
        ("gallops", "runs", "trots"),
        0.52,
    ),
    Subject(
        "rabbit",
        ("a rabbit", "a white rabbit", "a small rabbit"),
        ("sits", "hops", "rests"),
        0.42,
    ),
    Subject(
        "elephant",
        ("an elephant", "a gray elephant", "a big elephant"),
        ("walks", "stands", "strolls"),
        0.54,
    ),
    Subject("giraffe", ("a giraffe", "a tall giraffe", "a young giraffe"), STANDS, 0.58),
    Subject(
        "tiger",
        ("a tiger", "a striped tiger", "a wild tiger"),
        ("prowls", "walks", "runs"),
        0.5,
    ),
    Subject("owl", ("an owl", "a brown owl", "a wise owl"), ("sits", "watches", "rests"), 0.44),
    Subject(
        "penguin",
        ("a penguin", "a small penguin", "a cute penguin"),
        ("waddles", "stands", "walks"),
        0.44,
    ),
    Subject(
        "turtle",
        ("a turtle", "a green turtle", "an old turtle"),
        ("crawls", "walks", "rests"),
        0.42,
    ),
    Subject(
        "cow",
        ("a cow", "a black and white cow", "a spotted cow"),
        ("grazes", "stands", "walks"),
        0.5,
    ),
    Subject(
        "flamingo",
        ("a flamingo", "a pink flamingo", "an elegant flamingo"),
        ("stands on one leg", "stands", "rests"),
        0.54,
    ),
    Subject(
        "parrot",
        ("a parrot", "a red parrot", "a colorful parrot"),
        ("sits", "rests", "looks around"),
    ),
    Subject(
        "dinosaur",
        ("a dinosaur", "a green dinosaur", "a fierce dinosaur"),
        ("roars", "runs", "stomps"),
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
        "saxophone",
        ("a saxophone", "a golden saxophone", "a shiny saxophone"),
        ("stands", "lies", "rests"),
        0.44,
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
    Subject(
        "butterfly",
        ("a butterfly", "an orange butterfly", "a monarch butterfly"),
        ("flutters", "flies", "hovers"),
        0.4,
        True,
    ),
)


@cache
def sprite(subject: Subject) -> Image.Image:
    """RGBA picture of the subject, cropped to what is drawn; it looks to the left."""
    return Image.open(SPRITES / f"{subject.name}.webp").convert("RGBA")
