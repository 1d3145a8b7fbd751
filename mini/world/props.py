"""What else stands in a place: for each, a few things of which a scene shows some, each at the left
or the right; every detail comes from the canvas's rng.
"""

from collections.abc import Callable

from .canvas import Canvas, mix, shade

WOOD = (128, 84, 52)
STONE = (138, 136, 142)


def rock(c: Canvas, x, base, size, color=STONE) -> None:
    lit = shade(color, 1.22)
    left, right, top = x - size, x + size * c.uniform(0.7, 1.1), base - size * c.uniform(0.8, 1.1)
    c.polygon([(left, base), (x - size * 0.6, top + size * 0.3), (x - size * 0.1, top),
               (x + size * 0.6, top + size * 0.35), (right, base)], color)  # fmt: skip
    c.polygon([(left, base), (x - size * 0.6, top + size * 0.3), (x - size * 0.1, top),
               (x - size * 0.2, base)], lit)  # fmt: skip


def rocks(c: Canvas, x, base) -> None:
    for dx, size in ((0, c.uniform(0.035, 0.06)), (0.07, 0.025), (-0.06, 0.02)):
        rock(c, x + dx, base + c.uniform(0, 0.02), size)


def fence(c: Canvas, x, base) -> None:
    for i in range(4):
        left = x - 0.12 + 0.07 * i
        c.rectangle(left, base - 0.09, left + 0.016, base + 0.02, (236, 230, 216))
    for y in (base - 0.07, base - 0.025):
        c.rectangle(x - 0.14, y, x + 0.13, y + 0.014, (222, 214, 198))


def windmill(c: Canvas, x, base) -> None:
    base -= 0.05
    c.polygon([(x - 0.05, base), (x - 0.03, base - 0.2), (x + 0.03, base - 0.2), (x + 0.05, base)],
              (240, 226, 206))  # fmt: skip
    c.polygon([(x - 0.036, base - 0.2), (x, base - 0.25), (x + 0.036, base - 0.2)], (178, 66, 54))
    c.rectangle(x - 0.012, base - 0.05, x + 0.012, base, WOOD)
    turn = c.uniform(-0.03, 0.03)
    for dx, dy in ((0.1, turn), (-0.1, -turn), (turn, -0.1), (-turn, 0.1)):
        c.line([(x, base - 0.19), (x + dx, base - 0.19 + dy)], (150, 112, 84), 0.014)


def barn(c: Canvas, x, base) -> None:
    base -= 0.04
    red = (188, 62, 50)
    c.rectangle(x - 0.08, base - 0.1, x + 0.08, base, red)
    c.polygon([(x - 0.095, base - 0.1), (x - 0.05, base - 0.17), (x + 0.05, base - 0.17),
               (x + 0.095, base - 0.1)], (96, 74, 70))  # fmt: skip
    c.rectangle(x - 0.03, base - 0.065, x + 0.03, base, (246, 236, 220))
    c.line([(x - 0.03, base - 0.065), (x + 0.03, base)], red, 0.01)


def lamp_post(c: Canvas, x, base) -> None:
    c.rectangle(x - 0.007, base - 0.34, x + 0.007, base, (52, 48, 58))
    c.rectangle(x - 0.02, base - 0.012, x + 0.02, base + 0.004, (52, 48, 58))
    c.glow(x, base - 0.36, 0.09, (255, 226, 150), 0.7)
    c.ellipse(x, base - 0.36, 0.026, 0.028, (255, 242, 200))


def vending_machine(c: Canvas, x, base) -> None:
    color = c.choice([(220, 60, 70), (60, 130, 220), (236, 236, 244)])
    c.rectangle(x - 0.06, base - 0.24, x + 0.06, base, color)
    c.rectangle(x - 0.045, base - 0.22, x + 0.025, base - 0.09, (220, 246, 255))
    for i in range(3):
        for j in range(2):
            can = c.choice([(230, 80, 70), (90, 190, 110), (240, 190, 60), (110, 120, 230)])
            left, top = x - 0.037 + 0.021 * i, base - 0.205 + 0.06 * j
            c.rectangle(left, top, left + 0.013, top + 0.038, can)
    c.rectangle(x + 0.034, base - 0.2, x + 0.052, base - 0.12, shade(color, 0.6))
    c.rectangle(x - 0.045, base - 0.06, x + 0.025, base - 0.025, shade(color, 0.45))


def lanterns(c: Canvas, x, base) -> None:
    c.line([(x - 0.16, base - 0.4), (x, base - 0.37), (x + 0.16, base - 0.4)], (40, 34, 50), 0.006)
    for dx, y in ((-0.12, 0.39), (-0.04, 0.375), (0.04, 0.375), (0.12, 0.39)):
        c.glow(x + dx, base - y + 0.035, 0.05, (255, 120, 70), 0.6)
        c.ellipse(x + dx, base - y + 0.035, 0.024, 0.032, (250, 96, 64))
        c.rectangle(x + dx - 0.012, base - y, x + dx + 0.012, base - y + 0.01, (60, 30, 30))


def mushrooms(c: Canvas, x, base) -> None:
    for dx, size in ((0, 0.045), (0.055, 0.03), (-0.045, 0.026)):
        c.rectangle(x + dx - size * 0.25, base - size, x + dx + size * 0.25, base, (240, 230, 210))
        c.ellipse(x + dx, base - size, size * 0.8, size * 0.5, (206, 62, 50))
        c.ellipse(x + dx - size * 0.2, base - size * 1.1, size * 0.16, size * 0.12, (250, 244, 236))


def log(c: Canvas, x, base) -> None:
    c.rectangle(x - 0.12, base - 0.06, x + 0.12, base, (104, 76, 54))
    c.rectangle(x - 0.12, base - 0.06, x + 0.12, base - 0.04, (134, 100, 70))
    c.ellipse(x + 0.12, base - 0.03, 0.02, 0.031, (206, 172, 126))
    c.ellipse(x + 0.12, base - 0.03, 0.01, 0.016, (160, 122, 84))


def fern(c: Canvas, x, base) -> None:
    for i in range(-3, 4):
        tip = (x + 0.03 * i, base - 0.1 + 0.008 * i * i)
        c.line([(x, base), (x + 0.012 * i, base - 0.06), tip], (72, 124, 62), 0.012)


def floor_lamp(c: Canvas, x, base) -> None:
    c.rectangle(x - 0.006, base - 0.36, x + 0.006, base, (92, 66, 52))
    c.ellipse(x, base, 0.045, 0.014, (92, 66, 52))
    c.glow(x, base - 0.38, 0.12, (255, 220, 150), 0.5)
    c.polygon([(x - 0.03, base - 0.43), (x + 0.03, base - 0.43), (x + 0.06, base - 0.33),
               (x - 0.06, base - 0.33)], (250, 228, 178))  # fmt: skip


def potted_plant(c: Canvas, x, base) -> None:
    for i in range(-3, 4):
        tip = (x + 0.032 * i, base - 0.22 + 0.009 * i * i)
        c.line([(x, base - 0.08), (x + 0.02 * i, base - 0.15), tip], (70, 140, 84), 0.018)
    pot = [(x - 0.05, base - 0.09), (x + 0.05, base - 0.09), (x + 0.036, base), (x - 0.036, base)]
    c.polygon(pot, c.choice([(206, 116, 78), (240, 236, 228), (96, 130, 160)]))


def armchair(c: Canvas, x, base) -> None:
    color = c.choice([(176, 80, 70), (86, 120, 110), (206, 160, 84)])
    c.rectangle(x - 0.09, base - 0.2, x + 0.09, base - 0.02, shade(color, 0.85))
    c.ellipse(x, base - 0.2, 0.09, 0.04, shade(color, 0.85))
    c.rectangle(x - 0.07, base - 0.09, x + 0.07, base - 0.02, shade(color, 1.12))
    for side in (-1, 1):
        c.rectangle(min(x + side * 0.07, x + side * 0.115), base - 0.13,
                    max(x + side * 0.07, x + side * 0.115), base - 0.01, color)  # fmt: skip


def sunshade(c: Canvas, x, base) -> None:
    color = c.choice([(232, 76, 70), (60, 140, 210), (244, 180, 60)])
    top = base - 0.27
    c.rectangle(x - 0.006, top, x + 0.006, base, (246, 240, 230))
    for i in range(6):
        left = x - 0.12 + 0.04 * i
        c.polygon([(x, top - 0.02), (left, top + 0.075), (left + 0.04, top + 0.075)],
                  color if i % 2 == 0 else (252, 248, 240))  # fmt: skip


def starfish(c: Canvas, x, base) -> None:
    for dx, dy in ((0, -0.04), (0.038, -0.012), (0.024, 0.032), (-0.024, 0.032), (-0.038, -0.012)):
        c.line([(x, base), (x + dx, base + dy * 0.7)], (240, 120, 80), 0.016)


def towel(c: Canvas, x, base) -> None:
    color = c.choice([(90, 160, 220), (240, 130, 150), (120, 200, 150)])
    for i in range(5):
        left = x - 0.12 + 0.048 * i
        c.polygon([(left, base), (left + 0.048, base), (left + 0.08, base + 0.07),
                   (left + 0.032, base + 0.07)], color if i % 2 else (252, 246, 236))  # fmt: skip


def cabin(c: Canvas, x, base) -> None:
    c.rectangle(x - 0.085, base - 0.1, x + 0.085, base, (132, 88, 58))
    for i in range(4):
        y = base - 0.085 + 0.024 * i
        c.rectangle(x - 0.085, y, x + 0.085, y + 0.005, (98, 62, 40))
    c.polygon([(x - 0.11, base - 0.095), (x, base - 0.19), (x + 0.11, base - 0.095)],
              (246, 250, 255))  # fmt: skip
    c.rectangle(x - 0.06, base - 0.075, x - 0.02, base - 0.04, (255, 222, 130))
    c.rectangle(x + 0.015, base - 0.075, x + 0.055, base, (86, 54, 36))


def snow_rocks(c: Canvas, x, base) -> None:
    rock(c, x, base, 0.055, (112, 122, 146))
    c.ellipse(x - 0.01, base - 0.045, 0.03, 0.012, (250, 252, 255))


def snow_pine(c: Canvas, x, base) -> None:
    for i in range(3):
        top, width = base - 0.3 + 0.08 * i, 0.05 + 0.022 * i
        c.polygon([(x, top), (x - width, top + 0.12), (x + width, top + 0.12)], (40, 88, 78))
        c.polygon([(x, top), (x - width * 0.45, top + 0.05), (x, top + 0.036),
                   (x + width * 0.45, top + 0.05)], (246, 250, 255))  # fmt: skip
    c.rectangle(x - 0.01, base - 0.03, x + 0.01, base, (96, 66, 46))


def mesa(c: Canvas, x, base) -> None:
    base -= 0.06
    c.polygon([(x - 0.13, base), (x - 0.09, base - 0.15), (x + 0.06, base - 0.16),
               (x + 0.11, base)], (168, 78, 52))  # fmt: skip
    c.polygon([(x + 0.02, base), (x + 0.03, base - 0.157), (x + 0.06, base - 0.16),
               (x + 0.11, base)], (132, 58, 44))  # fmt: skip
    for y in (0.05, 0.1):
        c.line([(x - 0.11, base - y), (x + 0.08, base - y)], (194, 98, 62), 0.008)


def red_rocks(c: Canvas, x, base) -> None:
    for dx, size in ((0, 0.05), (0.075, 0.03)):
        rock(c, x + dx, base, size, (164, 92, 62))


def signpost(c: Canvas, x, base) -> None:
    c.rectangle(x - 0.008, base - 0.2, x + 0.008, base, WOOD)
    for y, side in ((0.18, 1), (0.12, -1)):
        outline = ((-0.06, 0), (0.05, 0), (0.08, 0.02), (0.05, 0.04), (-0.06, 0.04))
        board = [(x + dx * side, base - y + dy) for dx, dy in outline]
        c.polygon(board, mix(WOOD, (255, 220, 170), 0.45))


def pond(c: Canvas, x, base) -> None:
    c.ellipse(x, base, 0.13, 0.035, (150, 140, 110))
    c.ellipse(x, base, 0.12, 0.029, (120, 160, 180))
    c.ellipse(x - 0.03, base - 0.006, 0.04, 0.008, (176, 206, 218))


def leaf_pile(c: Canvas, x, base) -> None:
    for _ in range(26):
        dx = c.uniform(-0.08, 0.08)
        y = base - c.uniform(0, 0.07) * (1 - abs(dx) / 0.09)
        c.ellipse(x + dx, y, 0.014, 0.009,
                  c.choice([(226, 120, 40), (206, 74, 40), (240, 176, 56)]))  # fmt: skip


def boat(c: Canvas, x, base) -> None:
    c.polygon([(x - 0.1, base - 0.045), (x + 0.1, base - 0.045), (x + 0.07, base),
               (x - 0.07, base)], (150, 92, 70))  # fmt: skip
    c.rectangle(x - 0.1, base - 0.05, x + 0.1, base - 0.036, (206, 150, 112))
    c.line([(x, base - 0.05), (x, base - 0.16)], (190, 170, 150), 0.008)
    c.polygon([(x + 0.008, base - 0.155), (x + 0.008, base - 0.06), (x + 0.07, base - 0.06)],
              (210, 210, 230))  # fmt: skip


def tent(c: Canvas, x, base) -> None:
    color = c.choice([(226, 130, 60), (90, 150, 130), (200, 80, 90)])
    c.glow(x, base - 0.06, 0.13, (255, 200, 120), 0.5)
    c.polygon([(x - 0.11, base), (x, base - 0.15), (x + 0.11, base)], color)
    c.polygon([(x - 0.035, base), (x, base - 0.13), (x + 0.035, base)], (255, 222, 150))


def campfire(c: Canvas, x, base) -> None:
    c.glow(x, base - 0.04, 0.13, (255, 150, 60), 0.7)
    for side in (-1, 1):
        c.line([(x - 0.045 * side, base), (x + 0.045 * side, base - 0.02)], (90, 60, 44), 0.014)
    c.polygon([(x - 0.032, base - 0.014), (x - 0.012, base - 0.06), (x, base - 0.1),
               (x + 0.016, base - 0.056), (x + 0.032, base - 0.014)], (255, 140, 50))  # fmt: skip
    c.polygon([(x - 0.016, base - 0.014), (x, base - 0.06), (x + 0.016, base - 0.014)],
              (255, 226, 120))  # fmt: skip


PROPS: dict[str, tuple[Callable[[Canvas, float, float], None], ...]] = {
    "meadow": (fence, windmill, barn, rocks),
    "tokyo": (lamp_post, vending_machine, lanterns),
    "forest": (mushrooms, log, fern, rocks),
    "room": (floor_lamp, potted_plant, armchair),
    "beach": (sunshade, starfish, towel, rocks),
    "mountains": (cabin, snow_rocks, snow_pine),
    "desert": (mesa, red_rocks, signpost),
    "park": (lamp_post, pond, leaf_pile, signpost),
    "lake": (boat, tent, campfire, rocks),
}
SHOWN = 0.5  # how often each side has one


def put_props(c: Canvas, place: str, horizon: float) -> None:
    """At most one thing at either side, standing on the ground of the place."""
    for low, high in ((0.1, 0.26), (0.74, 0.9)):
        if c.uniform(0, 1) < SHOWN:
            draw = c.choice(PROPS[place])
            draw(c, c.uniform(low, high), horizon + c.uniform(0.16, 0.26))
