"""The places of the mini world, with the words that name them."""

from collections.abc import Callable
from dataclasses import dataclass

from .canvas import Canvas
from .enclosed import forest, room, tokyo
from .landscapes import beach, desert, lake, meadow, mountains, park


@dataclass(frozen=True)
class Place:
    """`paint(canvas, horizon)` draws it; subjects stand below the horizon and take the `light` (a
    gain per RGB).
    """

    name: str
    paint: Callable[[Canvas, float], None]
    light: tuple[float, float, float]
    phrases: tuple[str, ...]
    tails: tuple[str, ...]


PLACES = (
    Place(
        "meadow",
        meadow,
        (1.0, 1.0, 0.97),
        (
            "in a vibrant meadow under a clear blue sky",
            "in a green meadow under a blue sky",
            "in a sunny meadow full of flowers",
            "in a meadow",
        ),
        ("bathed in sunlight", "with flowers in the grass", "on a bright day"),
    ),
    Place(
        "tokyo",
        tokyo,
        (0.86, 0.72, 1.0),
        (
            "on Tokyo night street",
            "on a Tokyo street at night",
            "on a neon street in Tokyo at night",
            "on a city street at night",
        ),
        (
            "adorned with neon lights and billboards",
            "with glowing neon signs",
            "between tall buildings",
        ),
    ),
    Place(
        "forest",
        forest,
        (0.93, 0.95, 0.84),
        (
            "in a misty forest at dawn",
            "in a forest in the morning mist",
            "among the trees of a misty forest",
            "in a forest",
        ),
        ("sunlight through trees", "with soft golden light", "with fog between the trees"),
    ),
    Place(
        "room",
        room,
        (1.04, 0.95, 0.82),
        (
            "in a cozy room bathed in warm sunshine",
            "on the floor of a cozy room bathed in warm sunshine",
            "in a warm room with a bookshelf",
            "in a cozy room",
        ),
        (
            "the room has wooden flooring and a peaceful, homely atmosphere",
            "with wooden flooring",
            "beside a bright window",
        ),
    ),
    Place(
        "beach",
        beach,
        (1.02, 1.0, 0.95),
        (
            "on a sandy beach by the sea",
            "on a tropical beach under a palm tree",
            "on a beach with gentle waves",
            "on a beach",
        ),
        ("under a sunny sky", "with turquoise water", "on a summer day"),
    ),
    Place(
        "mountains",
        mountains,
        (0.95, 1.0, 1.06),
        (
            "in front of snowy mountains",
            "in the snow below high mountains",
            "on a snowy field in the mountains",
            "in the mountains",
        ),
        ("in fresh white snow", "with pine trees", "on a cold winter day"),
    ),
    Place(
        "desert",
        desert,
        (1.06, 0.9, 0.74),
        (
            "in a desert at sunset",
            "among the sand dunes of a desert",
            "in a hot desert with cacti",
            "in the desert",
        ),
        ("under an orange sky", "with a low sun", "in the evening light"),
    ),
    Place(
        "park",
        park,
        (1.03, 0.95, 0.84),
        (
            "in an autumn park",
            "in a park with orange trees",
            "on a path through an autumn park",
            "in a park",
        ),
        ("with fallen leaves", "on a calm afternoon", "covered in golden leaves"),
    ),
    Place(
        "lake",
        lake,
        (0.62, 0.7, 0.98),
        (
            "beside a lake under a starry sky",
            "at a quiet lake by moonlight",
            "on the shore of a moonlit lake",
            "by a lake at night",
        ),
        ("with a bright moon", "under the stars", "with calm dark water"),
    ),
)
