"""Draws a theta-schedule with Pillow alone: a picture for people, in the host's dark colors."""

from PIL import Image, ImageChops, ImageDraw, ImageFont

from ..schedules import ThetaSchedule

WIDTH = 1152
HEIGHT = 648
SCALE = 3  # drawn three times as large, then averaged down: smooth edges
LEFT, RIGHT, TOP, BOTTOM = 96, 1104, 146, 556  # the plot's frame, in pixels of the finished picture

PAGE, PANEL = (24, 25, 29), (31, 33, 38)
GRID, AXIS = (52, 55, 62), (92, 96, 106)
TEXT, MUTED = (236, 238, 242), (150, 155, 166)
BACKGROUND_HUE, ENTITY_HUE = (64, 196, 190), (255, 159, 87)  # teal at theta = 0, amber at theta = 1
MAX_DOTS = 120  # more would run into one band


def draw_theta(schedule: ThetaSchedule, steps: int) -> Image.Image:
    """An RGB picture, 1152 x 648, of the schedule over `steps` sampling steps; a dot at every
    step.
    """
    page = Image.new("RGB", (WIDTH * SCALE, HEIGHT * SCALE), PAGE)
    pen = ImageDraw.Draw(page)
    pen.rounded_rectangle(_scaled(20, 20, WIDTH - 20, HEIGHT - 20), 18 * SCALE, fill=PANEL)
    _draw_axes(pen, steps)
    _draw_course(page, schedule)
    if steps <= MAX_DOTS:
        _draw_dots(page, schedule.values(steps))
    _draw_titles(pen, schedule, steps)
    return page.reduce(SCALE)


def step_ticks(steps: int) -> list[int]:
    """At most 11 round step numbers from 0 to `steps`."""
    size = next(m * 10**e for e in range(9) for m in (1, 2, 5) if steps <= 10 * m * 10**e)
    return list(range(0, steps + 1, size))


def _scaled(*numbers: float) -> list[float]:
    return [number * SCALE for number in numbers]


def _place(progress: float, theta: float) -> tuple[float, float]:
    """Where (progress, theta) lies, in the enlarged picture's pixels."""
    return (LEFT + progress * (RIGHT - LEFT)) * SCALE, (BOTTOM - theta * (BOTTOM - TOP)) * SCALE


def _write(
    pen: ImageDraw.ImageDraw, x: float, y: float, text: str, size: float, color: tuple, anchor: str
) -> None:
    font = ImageFont.load_default(size * SCALE)  # the font inside Pillow: the same on every machine
    pen.text((x * SCALE, y * SCALE), text, fill=color, font=font, anchor=anchor)


def _draw_axes(pen: ImageDraw.ImageDraw, steps: int) -> None:
    for theta in (0, 0.25, 0.5, 0.75, 1):
        pen.line([_place(0, theta), _place(1, theta)], fill=GRID, width=SCALE)
        _write(pen, LEFT - 14, _place(0, theta)[1] / SCALE, f"{theta:g}", 17, MUTED, "rm")
    for step in step_ticks(steps):
        x = _place(step / steps, 0)[0] / SCALE
        pen.line(_scaled(x, TOP, x, BOTTOM), fill=GRID, width=SCALE)
        pen.line(_scaled(x, BOTTOM, x, BOTTOM + 6), fill=AXIS, width=SCALE)
        _write(pen, x, BOTTOM + 12, str(step), 17, MUTED, "ma")
    pen.line([_place(0, 0), _place(1, 0)], fill=AXIS, width=2 * SCALE)
    _write(pen, (LEFT + RIGHT) / 2, BOTTOM + 40, "sampling step", 17, MUTED, "ma")


def _draw_titles(pen: ImageDraw.ImageDraw, schedule: ThetaSchedule, steps: int) -> None:
    _write(pen, LEFT, 46, _fitted(schedule.name, 34), 34, TEXT, "la")
    _write(pen, LEFT, 90, _fitted(schedule.summary, 18), 18, MUTED, "la")
    _write(pen, RIGHT, 58, f"{steps} step{'s' * (steps > 1)}", 18, MUTED, "ra")
    _draw_sign(pen, LEFT - 24, (5 * TOP + 3 * BOTTOM) / 8)
    _write(pen, LEFT + 14, TOP + 9, "entity text", 16, ENTITY_HUE, "la")
    _write(pen, RIGHT - 14, BOTTOM - 10, "background text", 16, BACKGROUND_HUE, "rd")


def _draw_sign(pen: ImageDraw.ImageDraw, x: float, y: float) -> None:
    """The letter theta, which the font lacks."""
    pen.ellipse(_scaled(x - 7, y - 12, x + 7, y + 12), outline=TEXT, width=round(2.4 * SCALE))
    pen.line(_scaled(x - 5, y, x + 5, y), fill=TEXT, width=2 * SCALE)


def _fitted(text: str, size: float) -> str:
    """`text`, cut with an ellipsis to the width of the plot (less the place of the step count)."""
    font = ImageFont.load_default(size)
    room = RIGHT - LEFT - 140
    while font.getlength(text) > room:
        text = text.rstrip("…")[:-1] + "…"
    return text


def _hues() -> Image.Image:
    """The enlarged picture's size, colored by height: amber where theta = 1 down to teal where
    theta = 0.
    """
    ramp = Image.new("RGB", (1, 256))
    ramp.putdata(
        [
            tuple(
                round(e + (b - e) * i / 255)
                for e, b in zip(ENTITY_HUE, BACKGROUND_HUE, strict=True)
            )
            for i in range(256)
        ]
    )
    page = Image.new("RGB", (WIDTH * SCALE, HEIGHT * SCALE), BACKGROUND_HUE)
    page.paste(ENTITY_HUE, (0, 0, WIDTH * SCALE, TOP * SCALE))
    page.paste(
        ramp.resize((WIDTH * SCALE, (BOTTOM - TOP) * SCALE), Image.Resampling.BILINEAR),
        (0, TOP * SCALE),
    )
    return page


def _draw_course(page: Image.Image, schedule: ThetaSchedule) -> None:
    """The line of theta, colored by its height, over a glow that fades downwards."""
    columns = (RIGHT - LEFT) // 2
    course = [_place(i / columns, schedule.at(i / columns)) for i in range(columns + 1)]
    hues = _hues()
    line = Image.new("L", page.size)
    ImageDraw.Draw(line).line(course, fill=255, width=4 * SCALE, joint="curve")
    below, fade = Image.new("L", page.size), Image.new("L", page.size)
    ImageDraw.Draw(below).polygon([*course, _place(1, 0), _place(0, 0)], fill=255)
    slope = Image.linear_gradient("L").point(lambda v: (255 - v) // 3)
    fade.paste(slope.resize((WIDTH * SCALE, (BOTTOM - TOP) * SCALE)), (0, TOP * SCALE))
    page.paste(hues, mask=ImageChops.multiply(below, fade))
    page.paste(hues, mask=line)


def _draw_dots(page: Image.Image, values: list[float]) -> None:
    """One dot per step, ringed so that it stands off the line; smaller when there are many."""
    radius = min(6.5, max(2.6, 0.23 * (RIGHT - LEFT) / len(values)))
    ring, core = Image.new("L", page.size), Image.new("L", page.size)
    for step, theta in enumerate(values):
        x, y = _place(step / len(values), theta)
        for mask, r in ((ring, (radius + 1.5) * SCALE), (core, radius * SCALE)):
            ImageDraw.Draw(mask).ellipse((x - r, y - r, x + r, y + r), fill=255)
    page.paste(PANEL, mask=ring)
    page.paste(_hues(), mask=core)
