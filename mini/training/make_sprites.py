"""Makes the subjects' pictures, world/sprites/*.webp, from Microsoft's Fluent Emoji 3D (MIT), as
the npm package `@lobehub/fluent-emoji-3d` ships them:
`python -m mini.training.make_sprites ASSETS`.

Most are taken as they are. What the set has only as a head gets a body of its parts or drawn ones.
"""

import sys
from collections.abc import Callable
from pathlib import Path

from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageOps

SPRITES = Path(__file__).parents[1] / "world" / "sprites"
SIDE = 256  # of the set's pictures, pixels
WHOLE = {
    "eagle": "1f985",
    "deer": "1f98c",
    "squirrel": "1f43f-fe0f",
    "cat": "1f408",
    "owl": "1f989",
    "penguin": "1f427",
    "flamingo": "1f9a9",
    "woman": "1f483-1f3fb",
    "car": "1f697",
    "snowman": "26c4",
}


def recolor(image: Image.Image, dark, middle, light) -> Image.Image:
    """The picture's light and shade in three colors of one's own."""
    colored = ImageOps.colorize(ImageOps.grayscale(image), dark, light, mid=middle)
    colored.putalpha(image.getchannel("A"))
    return colored


def erase(image: Image.Image, box) -> Image.Image:
    image = image.copy()
    image.paste((0, 0, 0, 0), box)
    return image


def form(points, color, rim, size: int = SIDE, width: int = 0) -> Image.Image:
    """A rounded body, softly shaded from above: a polygon, or a line of some width."""
    big = 4
    mask = Image.new("L", (size * big, size * big))
    draw = ImageDraw.Draw(mask)
    scaled = [(x * big, y * big) for x, y in points]
    if width:
        draw.line(scaled, 255, width * big, joint="curve")
        for x, y in scaled:
            r = width * big / 2
            draw.ellipse((x - r, y - r, x + r, y + r), 255)
    else:
        draw.polygon(scaled, 255)
        mask = mask.filter(ImageFilter.GaussianBlur(5 * big)).point(lambda v: 255 * (v > 127))
    mask = mask.resize((size, size), Image.Resampling.BOX)
    inner = mask.filter(ImageFilter.GaussianBlur(7))
    inner = ImageChops.offset(inner, 2, -4).point(lambda v: max(0, min(255, 2 * v - 200)))
    body = Image.composite(
        Image.new("RGB", mask.size, color), Image.new("RGB", mask.size, rim), inner
    )
    body.putalpha(mask)
    return body


def put(parts, size: int = SIDE) -> Image.Image:
    """Pictures, each (image, height in pixels, left, top), one over the other."""
    whole = Image.new("RGBA", (size, size))
    for image, height, left, top in parts:
        width = round(image.width * height / image.height)
        whole.alpha_composite(image.resize((width, height), Image.Resampling.LANCZOS), (left, top))
    return whole


def make_dog(emoji: Callable) -> Image.Image:
    return recolor(emoji("1f415"), (40, 20, 10), (140, 88, 52), (232, 196, 160))


def make_fox(emoji: Callable) -> Image.Image:
    body = recolor(emoji("1f415"), (70, 26, 12), (226, 106, 32), (255, 206, 160))
    body = erase(body, (150, 0, 256, 76))
    body = erase(erase(body, (0, 0, 112, 96)), (0, 0, 34, 140))
    tail = form([(150, 108), (176, 62), (214, 22), (246, 28), (250, 64), (226, 96), (180, 130)],
                (240, 118, 36), (196, 76, 20))  # fmt: skip
    tip = form([(212, 20), (248, 22), (254, 66), (226, 62)], (255, 244, 230), (236, 206, 184))
    head = emoji("1f98a")
    return put([(tail, SIDE, 0, 0), (tip, SIDE, 0, 0), (body, SIDE, 0, 0), (head, 132, 0, 4)])


def make_panda(emoji: Callable) -> Image.Image:
    bear = recolor(emoji("1f9f8"), (60, 52, 64), (206, 202, 216), (255, 255, 255))
    dark = recolor(emoji("1f9f8"), (12, 10, 18), (44, 40, 54), (104, 98, 118))
    limbs = Image.new("L", bear.size)
    draw = ImageDraw.Draw(limbs)
    for box in ((4, 108, 84, 186), (172, 108, 252, 186), (14, 180, 106, 256), (150, 180, 242, 256)):
        draw.ellipse(box, 255)
    bear.paste(dark, mask=ImageChops.multiply(limbs.filter(ImageFilter.GaussianBlur(3)),
                                              bear.getchannel("A")))  # fmt: skip
    head = emoji("1f43c")
    return put([(erase(bear, (0, 0, 256, 106)), SIDE, 0, 0), (head, 128, 54, 0)])


def make_robot(emoji: Callable) -> Image.Image:
    steel, rim = (214, 210, 230), (150, 142, 178)
    red, red_rim = (240, 60, 100), (180, 30, 70)
    arms = [form([(78, 150), (48, 172), (44, 200)], steel, rim, width=20),
            form([(178, 150), (208, 172), (212, 200)], steel, rim, width=20)]  # fmt: skip
    hands = [form([(44, 204), (44, 206)], red, red_rim, width=28),
             form([(212, 204), (212, 206)], red, red_rim, width=28)]  # fmt: skip
    legs = [form([(106, 206), (106, 236)], steel, rim, width=26),
            form([(150, 206), (150, 236)], steel, rim, width=26)]  # fmt: skip
    feet = [form([(98, 242), (112, 242)], red, red_rim, width=26),
            form([(144, 242), (158, 242)], red, red_rim, width=26)]  # fmt: skip
    trunk = form([(76, 130), (180, 130), (184, 218), (72, 218)], (232, 228, 244), rim)
    panel = form([(102, 158), (154, 158), (154, 190), (102, 190)], (70, 60, 110), (40, 34, 70))
    lamp = form([(128, 174), (128, 174)], (80, 190, 255), (40, 120, 220), width=18)
    whole = [(part, SIDE, 0, 0) for part in (*arms, *hands, *legs, *feet, trunk, panel, lamp)]
    return put([*whole, (emoji("1f916"), 138, 59, 0)])


def make_man(emoji: Callable) -> Image.Image:
    man = emoji("1f574-1f3fb")
    return erase(man, (0, 227, 256, 256))  # the shadow of a man in the air


def make_saxophonist(emoji: Callable) -> Image.Image:
    man = ImageOps.expand(make_man(emoji).crop((60, 0, 196, 256)), 0)
    return put([(man, SIDE, 60, 0), (emoji("1f3b7"), 118, 44, 58)])


MADE = {
    "dog": make_dog,
    "fox": make_fox,
    "panda": make_panda,
    "robot": make_robot,
    "man": make_man,
    "saxophonist": make_saxophonist,
}


def main(assets: Path) -> None:
    def emoji(code: str) -> Image.Image:
        return Image.open(assets / f"{code}.webp").convert("RGBA")

    SPRITES.mkdir(exist_ok=True)
    pictures = {name: emoji(code) for name, code in WHOLE.items()}
    pictures |= {name: make(emoji) for name, make in MADE.items()}
    for name, picture in pictures.items():
        visible = picture.getchannel("A").point(lambda v: v if v > 12 else 0)
        picture.putalpha(visible)
        picture.crop(visible.getbbox()).save(SPRITES / f"{name}.webp", quality=88, method=6)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
