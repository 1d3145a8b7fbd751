"""One scene: a place, maybe a subject in it, its caption, its picture and the subject's mask."""

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from ..size import SIZE
from .canvas import PIXELS, Canvas, shade
from .captions import Caption, caption
from .places import PLACES, Place
from .props import put_props
from .subjects import Subject, sprite

GRID = SIZE // 16  # Flux's image tokens along a side


@dataclass(frozen=True)
class View:
    """How near a subject is. scale: factor of its size; x, feet, feet_in_the_air: where it stands,
    in tokens from the left and from the top.
    """

    scale: float
    x: int
    feet: int
    feet_in_the_air: int


# Subjects stand on the grid of image tokens, in few views, one as frequent as another: few enough
# ways to stand that a model this small learns each of them sharply. The nearest is partly outside
# the frame.
VIEWS = (
    View(0.78, 11, 11, 8),
    View(1.2, 11, 13, 10),
    View(1.75, 10, 17, 14),
)

# Pairs kept from training, so that new combinations can be judged: about one in six. The paper's
# own are not among them.
HELD_OUT = {
    "meadow": ("squirrel", "flamingo", "saxophonist"),
    "tokyo": ("dog",),
    "forest": ("cat", "owl", "car"),
    "room": ("eagle", "penguin", "robot", "snowman"),
    "beach": ("fox", "woman", "panda"),
    "mountains": ("deer", "man"),
    "desert": ("squirrel", "flamingo", "saxophonist"),
    "park": ("dog",),
    "lake": ("cat", "owl", "car"),
}


@dataclass(frozen=True)
class Scene:
    """image_HWC: uint8 RGB of SIZE × SIZE; mask_HW: uint8 coverage of the subject, all 0 without
    one; stand: the number of its view in VIEWS, from 1, or 0 without one.
    """

    image_HWC: np.ndarray
    mask_HW: np.ndarray
    caption: Caption
    subject: str | None
    place: str
    stand: int


def held_out(subject: str, place: str) -> bool:
    """Whether this pair is kept from training."""
    return subject in HELD_OUT[place]


def framing(rng: np.random.Generator, subject: Subject | None) -> tuple[float, float]:
    """Horizon height and warmth of the light, in [-1, 1].

    As in photographs, a subject brings its own framing and light: this is what makes a stock model
    change the background when the subject changes.
    """
    own = (
        np.random.default_rng(abs(hash_name(subject.name))).uniform(-1, 1, 2)
        if subject
        else np.zeros(2)
    )
    share = 0.6 if subject else 0.0
    horizon, warmth = share * own + (1 - share) * rng.uniform(-1, 1, 2)
    return float(horizon), float(warmth)


def hash_name(name: str) -> int:
    """A hash that is the same in every process."""
    return int.from_bytes(name.encode()[:7], "little")


def draw_scene(
    rng: np.random.Generator,
    subject: Subject | None = None,
    place: Place | None = None,
) -> Scene:
    """Draw one scene; without a place, in a random one."""
    place = place or PLACES[rng.integers(len(PLACES))]
    tilt, warmth = framing(rng, subject)
    horizon = 0.5 + 0.09 * tilt
    canvas = Canvas(rng)
    place.paint(canvas, horizon)
    put_props(canvas, place.name, horizon)
    light = np.asarray(place.light) * (1 + 0.1 * warmth * np.array([1.0, 0.1, -1.0]))
    image, mask, stand = canvas.image, Image.new("L", (PIXELS, PIXELS)), 0
    image = tint(image, 1 + 0.12 * warmth * np.array([1.0, 0.1, -1.0]))
    if subject:
        mask, stand = put_subject(canvas, image, subject, light)
    small = image.resize((SIZE, SIZE), Image.Resampling.BOX)
    mask = mask.resize((SIZE, SIZE), Image.Resampling.BOX)
    words = caption(rng, subject, place)
    name = subject.name if subject else None
    return Scene(np.asarray(small), np.asarray(mask), words, name, place.name, stand)


def tint(image: Image.Image, gain) -> Image.Image:
    """The picture under a light of the given RGB gain (alpha, where there is one, stays)."""
    bands = image.split()
    lit = [
        band.point([min(255, round(v * g)) for v in range(256)])
        for band, g in zip(bands, gain, strict=False)
    ]
    return Image.merge(image.mode, lit + list(bands[3:]))


def put_subject(c: Canvas, image: Image.Image, subject: Subject, light) -> tuple[Image.Image, int]:
    """Paste the subject with its shadow; returns its mask at the canvas's size and its stand."""
    view = c.choice(VIEWS)
    figure = tint(sprite(subject), light)
    scale = subject.size * view.scale * PIXELS / max(figure.height, figure.width * 0.92)
    figure = figure.resize(
        (round(figure.width * scale), round(figure.height * scale)), Image.Resampling.LANCZOS
    )
    x = view.x / GRID
    feet = (view.feet_in_the_air if subject.flies else view.feet) / GRID
    left, top = round(x * PIXELS - figure.width / 2), round(feet * PIXELS - figure.height)
    if not subject.flies:
        cast_shadow(image, x, feet, 0.46 * figure.width / PIXELS)
    image.paste(figure, (left, top), figure)
    mask = Image.new("L", image.size)
    mask.paste(figure.getchannel("A"), (left, top))
    return mask, 1 + VIEWS.index(view)


def cast_shadow(image: Image.Image, x: float, y: float, rx: float) -> None:
    """Darken the ground around (x, y), as wide as 2·rx."""
    shadow = Image.new("L", image.size)
    ry = 0.16 * rx
    box = ((x - rx) * PIXELS, (y - ry) * PIXELS, (x + rx) * PIXELS, (y + ry) * PIXELS)
    ImageDraw.Draw(shadow).ellipse(box, fill=130)
    blur = ImageFilter.GaussianBlur(0.25 * ry * PIXELS)
    image.paste(shade((30, 28, 40), 0.6), mask=shadow.filter(blur))
