"""The enclosed places: a street, a forest, a room; every detail comes from the canvas's rng."""

from PIL import Image, ImageDraw, ImageFilter

from .canvas import Canvas, mix, shade

WHITE = (255, 255, 255)


def tokyo(c: Canvas, horizon: float) -> None:
    c.gradient(0, horizon, (24, 18, 60), (112, 52, 120))
    neon = [
        (255, 60, 150),
        (60, 220, 255),
        (255, 210, 60),
        (150, 110, 255),
        (80, 255, 150),
        (255, 90, 60),
    ]
    street = horizon + 0.02
    for i in (3, 2, 1, 0):
        for side in (0, 1):
            near, far = 0.13 * i - 0.02, 0.13 * (i + 1)
            left, right = (near, far) if side == 0 else (1 - far, 1 - near)
            draw_tower(
                c,
                left,
                right,
                max(-0.02, street * (0.04 + 0.19 * i) * c.uniform(0.4, 1.2)),
                street + 0.1 - 0.025 * i,
            )
    c.polygon(
        [(0, 1), (0, street + 0.1), (0.44, street), (0.56, street), (1, street + 0.1), (1, 1)],
        (42, 38, 64),
    )
    for side in (0, 1):
        for i in range(3):
            color, width = c.choice(neon), 0.1 - 0.02 * i
            x = 0.02 + 0.15 * i + c.uniform(0, 0.03)
            x = x if side == 0 else 1 - x - width
            y = c.uniform(0.03 + 0.06 * i, 0.12 + 0.06 * i)
            height = c.uniform(0.17, 0.24) - 0.03 * i
            c.glow(x + width / 2, y + height / 2, 0.11, color, 0.5)
            draw_sign(c, x, y, width, height, color)
            c.polygon(
                [(x, street + 0.12), (x + width, street + 0.12), (x + width, 1), (x, 1)],
                mix((42, 38, 64), color, 0.22),
            )
    c.polygon(
        [(0.495, street + 0.02), (0.505, street + 0.02), (0.53, 1), (0.47, 1)], (206, 196, 214)
    )


def draw_tower(c: Canvas, left, right, top, base) -> None:
    wall = shade((78, 66, 118), c.uniform(0.6, 1.15))
    c.rectangle(left, top, right, base, wall)
    lit = c.choice([(255, 226, 150), (150, 214, 250)])
    y = top + 0.03
    while y < base - 0.05:
        for x in (left + 0.02, left + 0.06, left + 0.1):
            c.rectangle(
                x, y, x + 0.022, y + 0.026, lit if c.uniform(0, 1) < 0.55 else shade(wall, 0.6)
            )
        y += 0.055


def draw_sign(c: Canvas, x, y, width, height, color) -> None:
    c.rectangle(x, y, x + width, y + height, shade(color, 0.35))
    c.rectangle(x + 0.008, y + 0.008, x + width - 0.008, y + height - 0.008, color)
    rows = 3
    for j in range(rows):
        top = y + 0.02 + (height - 0.03) * j / rows
        c.rectangle(
            x + 0.024, top, x + width - 0.024, top + height / rows - 0.028, mix(color, WHITE, 0.75)
        )


def forest(c: Canvas, horizon: float) -> None:
    c.gradient(0, 1, (214, 206, 176), (150, 168, 140))
    c.glow(c.uniform(0.2, 0.8), c.uniform(0.1, 0.3), 0.2, (255, 226, 150), 0.9)
    for layer in range(3):
        color = mix((172, 182, 160), (46, 62, 46), (layer + 1) / 3)
        for _ in range(6 - layer):
            x, width = c.uniform(0, 1), 0.012 + 0.016 * layer * c.uniform(0.8, 1.3)
            lean = c.uniform(-0.02, 0.02)
            base = horizon + 0.06 * layer
            c.polygon(
                [
                    (x + lean, 0),
                    (x + lean + width, 0),
                    (x + width * 1.5, base),
                    (x - width * 0.5, base),
                ],
                color,
            )
            for _ in range(2):
                y = c.uniform(0.08, base - 0.15)
                c.line(
                    [(x, y), (x + c.choice([-1, 1]) * c.uniform(0.05, 0.14), y - 0.07)],
                    color,
                    0.008,
                )
        c.veil(horizon - 0.3, horizon + 0.16, (226, 222, 200), 0.35)
    c.gradient(horizon + 0.12, 1, (118, 136, 88), (58, 76, 44))
    for _ in range(16):
        x, y = c.uniform(0, 1), c.uniform(horizon + 0.14, 1)
        c.polygon(
            [(x, y - 0.05), (x - 0.012, y), (x + 0.012, y)],
            shade((70, 104, 56), c.uniform(0.8, 1.2)),
        )
    x = c.uniform(-0.1, 0.6)
    c.image.paste((255, 244, 206), mask=ray_mask(c, x))


def ray_mask(c: Canvas, x: float):
    mask = Image.new("L", (64, 64))
    draw = ImageDraw.Draw(mask)
    for i in range(3):
        start = (x + 0.16 * i) * 64
        draw.polygon([(start, 0), (start + 5, 0), (start + 26, 60), (start + 14, 60)], fill=48)
    return mask.filter(ImageFilter.GaussianBlur(1.5)).resize(c.image.size)


def room(c: Canvas, horizon: float) -> None:
    wall = c.choice([(236, 204, 160), (228, 190, 150), (240, 216, 178)])
    c.gradient(0, horizon, shade(wall, 1.04), shade(wall, 0.9))
    c.gradient(horizon, 1, (176, 116, 66), (142, 88, 46))
    for i in range(7):
        x = 0.5 + (i - 3) * 0.12
        c.line([(x, horizon), (0.5 + (i - 3) * 0.34, 1)], (120, 74, 40), 0.006)
    c.rectangle(0, horizon - 0.02, 1, horizon, (250, 240, 222))
    x, width = c.uniform(0.06, 0.6), c.uniform(0.24, 0.32)
    c.rectangle(x - 0.015, 0.08, x + width + 0.015, 0.42, (252, 246, 234))
    c.rectangle(x, 0.095, x + width, 0.405, (168, 216, 246))
    c.ellipse(x + width * 0.3, 0.4, 0.07, 0.05, (120, 180, 100))
    c.rectangle(x, 0.36, x + width, 0.405, (132, 190, 104))
    c.rectangle(x + width / 2 - 0.008, 0.09, x + width / 2 + 0.008, 0.41, (252, 246, 234))
    curtain = c.choice([(214, 110, 84), (96, 140, 170), (226, 176, 84), (150, 110, 160)])
    for left in (x - 0.07, x + width - 0.01):
        c.rectangle(left, 0.06, left + 0.08, 0.47, curtain)
    shelf = 0.72 if x < 0.35 else 0.04
    c.rectangle(shelf, 0.2, shelf + 0.22, horizon, (130, 84, 48))
    for row in range(3):
        y = 0.23 + row * 0.13
        c.rectangle(shelf + 0.015, y, shelf + 0.205, y + 0.105, (94, 58, 34))
        for i in range(7):
            book = c.choice(
                [(200, 70, 60), (70, 120, 170), (230, 190, 80), (90, 150, 100), (220, 214, 200)]
            )
            c.rectangle(
                shelf + 0.02 + 0.026 * i,
                y + c.uniform(0.01, 0.04),
                shelf + 0.04 + 0.026 * i,
                y + 0.105,
                book,
            )
    c.ellipse(
        c.uniform(0.35, 0.65),
        0.88,
        0.3,
        0.075,
        c.choice([(190, 80, 70), (90, 120, 150), (210, 170, 110)]),
    )
    c.glow(x + width / 2, 0.25, 0.25, (255, 220, 150), 0.45)
