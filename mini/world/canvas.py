"""A supersampled canvas in unit coordinates: x to the right, y downwards, both in [0, 1]."""

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter

from ..size import SIZE

SUPERSAMPLING = 2
PIXELS = SIZE * SUPERSAMPLING


def mix(a, b, share: float) -> tuple[int, ...]:
    """Color `share` of the way from `a` to `b`."""
    return tuple(round(x + (y - x) * share) for x, y in zip(a, b, strict=True))


def shade(color, factor: float) -> tuple[int, ...]:
    """The color made brighter (factor > 1) or darker."""
    return tuple(max(0, min(255, round(c * factor))) for c in color)


class Canvas:
    """An RGB picture of PIXELS × PIXELS with the few brushes the places need."""

    def __init__(self, rng: np.random.Generator):
        self.rng = rng
        self.image = Image.new("RGB", (PIXELS, PIXELS))
        self.draw = ImageDraw.Draw(self.image)

    def uniform(self, low: float, high: float) -> float:
        return float(self.rng.uniform(low, high))

    def choice(self, items):
        return items[int(self.rng.integers(len(items)))]

    def gradient(self, top: float, bottom: float, upper, lower) -> None:
        """Vertical gradient between the heights `top` and `bottom`."""
        first, last = round(top * PIXELS), round(bottom * PIXELS)
        for y in range(first, last):
            self.draw.line(
                (0, y, PIXELS, y), fill=mix(upper, lower, (y - first) / max(1, last - first))
            )

    def polygon(self, points, color) -> None:
        self.draw.polygon([(x * PIXELS, y * PIXELS) for x, y in points], fill=color)

    def rectangle(self, left, top, right, bottom, color) -> None:
        if right > left and bottom > top:
            self.draw.rectangle(
                (left * PIXELS, top * PIXELS, right * PIXELS, bottom * PIXELS), fill=color
            )

    def ellipse(self, x, y, rx, ry, color) -> None:
        box = ((x - rx) * PIXELS, (y - ry) * PIXELS, (x + rx) * PIXELS, (y + ry) * PIXELS)
        self.draw.ellipse(box, fill=color)

    def line(self, points, color, width: float) -> None:
        self.draw.line(
            [(x * PIXELS, y * PIXELS) for x, y in points],
            fill=color,
            width=max(1, round(width * PIXELS)),
        )

    def ridge(
        self, y: float, height: float, color, waves: float = 2.0, jagged: bool = False
    ) -> None:
        """A skyline that fills everything below it: smooth hills, or jagged peaks."""
        xs = np.linspace(0, 1, 9 if jagged else 65)
        if jagged:
            ys = y - height * self.rng.uniform(0.1, 1.0, len(xs)) * (
                0.4 + 0.6 * (np.arange(len(xs)) % 2)
            )
        else:
            phase, second = self.rng.uniform(0, 2 * np.pi, 2)
            ys = y - height * (
                0.5
                + 0.35 * np.sin(2 * np.pi * waves * xs + phase)
                + 0.15 * np.sin(4.3 * np.pi * waves * xs + second)
            )
        self.polygon([(0, 1), *zip(xs, ys, strict=True), (1, 1)], color)

    def glow(self, x, y, radius, color, strength: float = 1.0) -> None:
        """Adds a soft light."""
        light = Image.new("RGB", self.image.size)
        box = (
            (x - radius) * PIXELS,
            (y - radius) * PIXELS,
            (x + radius) * PIXELS,
            (y + radius) * PIXELS,
        )
        ImageDraw.Draw(light).ellipse(box, fill=shade(color, strength))
        light = (
            light.resize((64, 64))
            .filter(ImageFilter.GaussianBlur(radius * 24))
            .resize(self.image.size)
        )
        self.replace_image(ImageChops.screen(self.image, light))

    def veil(self, top, bottom, color, opacity: float) -> None:
        """Mist: a translucent band that is thickest in its middle."""
        ys = (np.arange(PIXELS) + 0.5) / PIXELS
        middle, half = (top + bottom) / 2, max(1e-3, (bottom - top) / 2)
        weight = np.clip(1 - np.abs(ys - middle) / half, 0, 1) ** 0.7 * opacity * 255
        mask = Image.fromarray(np.repeat(weight[:, None], PIXELS, 1).astype(np.uint8))
        self.image.paste(Image.new("RGB", self.image.size, color), mask=mask)

    def replace_image(self, image: Image.Image) -> None:
        self.image, self.draw = image, ImageDraw.Draw(image)
