"""The open places, painted on a canvas around a horizon; every detail comes from the canvas's
rng.
"""

from .canvas import Canvas, mix, shade

WHITE = (255, 255, 255)


def clouds(c: Canvas, horizon: float, color, count: int) -> None:
    for _ in range(count):
        x, y, size = c.uniform(0, 1), c.uniform(0.05, horizon * 0.7), c.uniform(0.05, 0.1)
        for dx, dy, r in ((-1, 0.15, 0.6), (0, -0.1, 0.9), (1, 0.15, 0.65), (0.3, 0.25, 0.8)):
            c.ellipse(x + dx * size, y + dy * size, size * r, size * r * 0.55, color)


def tree(c: Canvas, x, base, height, trunk, leaves) -> None:
    c.rectangle(x - height * 0.05, base - height * 0.5, x + height * 0.05, base, trunk)
    for dx, dy, r in ((-0.22, 0.6, 0.24), (0.22, 0.62, 0.24), (0, 0.8, 0.28), (0, 0.55, 0.26)):
        c.ellipse(
            x + dx * height,
            base - dy * height,
            r * height,
            r * height,
            shade(leaves, c.uniform(0.85, 1.1)),
        )


def pine(c: Canvas, x, base, height, color) -> None:
    for i in range(3):
        top, width = base - height * (1 - 0.22 * i), height * (0.14 + 0.07 * i)
        c.polygon(
            [(x, top), (x - width, top + height * 0.42), (x + width, top + height * 0.42)], color
        )


def meadow(c: Canvas, horizon: float) -> None:
    c.gradient(0, horizon, (52, 128, 226), (176, 220, 250))
    sun = c.uniform(0.1, 0.9)
    c.glow(sun, c.uniform(0.08, 0.18), 0.12, (255, 240, 170))
    clouds(c, horizon, (250, 252, 255), int(c.rng.integers(2, 5)))
    c.ridge(horizon + 0.02, c.uniform(0.08, 0.16), (104, 168, 92), c.uniform(0.8, 2))
    c.ridge(horizon + 0.06, c.uniform(0.05, 0.1), (122, 190, 76), c.uniform(1, 2.5))
    c.gradient(horizon + 0.05, 1, (126, 196, 74), (62, 140, 44))
    flower = c.choice([(255, 226, 70), (240, 90, 110), (250, 250, 250), (190, 110, 230)])
    for _ in range(34):
        y = c.uniform(horizon + 0.08, 1)
        r = 0.006 + 0.012 * (y - horizon)
        c.ellipse(c.uniform(0, 1), y, r, r, flower)
    if c.uniform(0, 1) < 0.6:
        tree(
            c,
            c.choice([c.uniform(0.05, 0.2), c.uniform(0.8, 0.95)]),
            horizon + 0.08,
            c.uniform(0.2, 0.32),
            (110, 80, 50),
            (70, 145, 60),
        )


def beach(c: Canvas, horizon: float) -> None:
    sea = horizon + 0.16
    c.gradient(0, horizon, (70, 170, 240), (200, 236, 250))
    c.glow(c.uniform(0.1, 0.9), 0.14, 0.1, (255, 244, 190))
    clouds(c, horizon, (250, 253, 255), int(c.rng.integers(1, 4)))
    c.gradient(horizon, sea + 0.04, (24, 110, 176), (80, 206, 214))
    for _ in range(12):
        x, y = c.uniform(0, 1), c.uniform(horizon + 0.02, sea)
        c.line([(x, y), (x + c.uniform(0.04, 0.12), y)], (196, 236, 240), 0.006)
    if c.uniform(0, 1) < 0.5:
        x = c.uniform(0.1, 0.9)
        c.polygon(
            [(x, horizon - 0.1), (x, horizon - 0.01), (x + 0.07, horizon - 0.01)], (250, 250, 246)
        )
        c.polygon(
            [
                (x - 0.05, horizon),
                (x + 0.07, horizon),
                (x + 0.04, horizon + 0.025),
                (x - 0.02, horizon + 0.025),
            ],
            (190, 70, 60),
        )
    c.ridge(sea + 0.03, 0.03, (244, 250, 248), c.uniform(1, 2.5))
    c.ridge(sea + 0.06, 0.03, (236, 210, 150), c.uniform(1, 2.5))
    c.gradient(sea + 0.06, 1, (240, 214, 156), (222, 186, 122))
    side = c.choice([0.04, 0.96])
    lean = 0.12 if side < 0.5 else -0.12
    top = (side + lean, c.uniform(0.22, 0.34))
    c.line([(side, 0.85), (side + lean * 0.4, 0.55), top], (134, 96, 58), 0.03)
    for dx, dy in (
        (-0.16, 0.02),
        (0.16, 0.02),
        (-0.12, -0.08),
        (0.12, -0.08),
        (-0.1, 0.11),
        (0.1, 0.11),
    ):
        c.polygon(
            [top, (top[0] + dx * 0.6, top[1] + dy - 0.05), (top[0] + dx, top[1] + dy + 0.03)],
            (54, 140, 66),
        )
    for _ in range(9):
        c.ellipse(c.uniform(0, 1), c.uniform(sea + 0.12, 1), 0.008, 0.006, (250, 240, 220))


def mountains(c: Canvas, horizon: float) -> None:
    c.gradient(0, horizon + 0.06, (96, 158, 220), (218, 234, 248))
    clouds(c, horizon * 0.7, (246, 250, 255), int(c.rng.integers(1, 3)))
    for _ in range(4):
        x, h, w = c.uniform(0, 1), c.uniform(0.25, 0.45), c.uniform(0.22, 0.34)
        top = horizon + 0.04 - h
        c.polygon([(x, top), (x - w, horizon + 0.06), (x + w, horizon + 0.06)], (112, 130, 162))
        c.polygon(
            [(x, top), (x + w, horizon + 0.06), (x + w * 0.15, horizon + 0.06)], (86, 102, 138)
        )
        c.polygon(
            [
                (x, top),
                (x - w * 0.36, top + h * 0.4),
                (x - w * 0.1, top + h * 0.32),
                (x + w * 0.08, top + h * 0.44),
                (x + w * 0.36, top + h * 0.4),
            ],
            (248, 252, 255),
        )
    c.ridge(horizon + 0.06, 0.06, (222, 234, 246), c.uniform(0.8, 2))
    c.gradient(horizon + 0.06, 1, (228, 238, 248), (248, 252, 255))
    for _ in range(int(c.rng.integers(5, 9))):
        x, h = c.uniform(0, 1), c.uniform(0.1, 0.22)
        pine(c, x, horizon + c.uniform(0.05, 0.14), h, (46, 92, 84))
    for _ in range(26):
        c.ellipse(c.uniform(0, 1), c.uniform(0, 1), 0.006, 0.006, WHITE)


def desert(c: Canvas, horizon: float) -> None:
    c.gradient(0, horizon, (226, 92, 70), (255, 206, 110))
    x = c.uniform(0.15, 0.85)
    c.glow(x, horizon - 0.12, 0.2, (255, 200, 110), 0.8)
    c.ellipse(x, horizon - c.uniform(0.04, 0.18), 0.09, 0.09, (255, 238, 170))
    for i in range(4):
        y = horizon + 0.03 + i * 0.11
        color = mix((214, 130, 72), (238, 170, 92), i / 3)
        c.ridge(y, 0.09, shade(color, 0.86), c.uniform(0.6, 1.4))
        c.ridge(y + 0.035, 0.07, color, c.uniform(0.6, 1.4))
    for _ in range(int(c.rng.integers(1, 4))):
        x, base, h = (
            c.choice([c.uniform(0.04, 0.26), c.uniform(0.74, 0.96)]),
            horizon + c.uniform(0.05, 0.2),
            0.2,
        )
        green = (64, 112, 70)
        c.rectangle(x - 0.018, base - h, x + 0.018, base, green)
        c.ellipse(x, base - h, 0.018, 0.018, green)
        for sign in (-1, 1):
            y = base - h * c.uniform(0.35, 0.6)
            c.line([(x, y), (x + sign * 0.05, y), (x + sign * 0.05, y - 0.07)], green, 0.024)


def park(c: Canvas, horizon: float) -> None:
    c.gradient(0, horizon, (226, 214, 186), (250, 236, 206))
    autumn = [(226, 120, 40), (206, 74, 40), (240, 176, 56), (186, 96, 44)]
    for _ in range(7):
        tree(
            c,
            c.uniform(0, 1),
            horizon + 0.03,
            c.uniform(0.22, 0.34),
            (120, 84, 56),
            mix(c.choice(autumn), (250, 236, 206), 0.4),
        )
    c.gradient(horizon, 1, (176, 164, 76), (150, 132, 56))
    x = c.uniform(0.35, 0.65)
    c.polygon(
        [(x - 0.04, horizon), (x + 0.04, horizon), (x + 0.34, 1), (x - 0.3, 1)], (216, 196, 160)
    )
    for side in (c.uniform(0.04, 0.2), c.uniform(0.8, 0.96)):
        tree(c, side, horizon + 0.16, c.uniform(0.42, 0.56), (98, 64, 40), c.choice(autumn))
    for _ in range(40):
        c.ellipse(c.uniform(0, 1), c.uniform(horizon + 0.04, 1), 0.012, 0.007, c.choice(autumn))
    if c.uniform(0, 1) < 0.6:
        x, y = c.choice([0.2, 0.72]) + c.uniform(-0.05, 0.05), horizon + 0.12
        c.rectangle(x - 0.09, y - 0.015, x + 0.09, y + 0.01, (126, 76, 44))
        c.rectangle(x - 0.09, y - 0.07, x + 0.09, y - 0.04, (126, 76, 44))
        for dx in (-0.08, 0.07):
            c.rectangle(x + dx, y, x + dx + 0.012, y + 0.05, (60, 50, 46))


def lake(c: Canvas, horizon: float) -> None:
    c.gradient(0, horizon, (10, 16, 52), (54, 72, 134))
    for _ in range(46):
        r = c.choice([0.003, 0.003, 0.006])
        c.ellipse(c.uniform(0, 1), c.uniform(0, horizon), r, r, (238, 240, 255))
    moon, y = c.uniform(0.12, 0.88), c.uniform(0.1, 0.24)
    c.glow(moon, y, 0.12, (190, 200, 255), 0.7)
    c.ellipse(moon, y, 0.065, 0.065, (250, 248, 226))
    c.ridge(horizon + 0.01, c.uniform(0.1, 0.2), (24, 34, 66), c.uniform(0.8, 1.8))
    shore = horizon + 0.2
    c.gradient(horizon, shore, (34, 52, 106), (62, 86, 150))
    for _ in range(12):
        dx, dy = c.uniform(-0.07, 0.07), c.uniform(0.01, 0.19)
        c.line(
            [(moon + dx - 0.04, horizon + dy), (moon + dx + 0.04, horizon + dy)],
            (206, 212, 240),
            0.007,
        )
    c.gradient(shore, 1, (40, 62, 62), (24, 42, 42))
    for _ in range(int(c.rng.integers(3, 7))):
        pine(
            c,
            c.choice([c.uniform(0, 0.25), c.uniform(0.75, 1)]),
            shore + 0.02,
            c.uniform(0.2, 0.34),
            (16, 34, 40),
        )
    for _ in range(12):
        x, y = c.uniform(0, 1), c.uniform(shore + 0.02, 1)
        c.ellipse(x, y, c.uniform(0.01, 0.03), 0.01, (84, 98, 104))
