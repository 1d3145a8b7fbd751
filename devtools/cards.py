"""Draws the pack's icon and the cards of its workflows in the template browser: `python -m
devtools.cards`.

A card shows two pictures over a small map of the workflow. The pictures are those that the card has
already; with `--host FOLDER` the mini model paints them anew, of the prompts of each workflow.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
from pathlib import Path

from PIL import Image, ImageDraw

from .client import Client
from .environment import ROOT, Environment
from .host import run_host
from .workflow import to_prompt

WORKFLOWS = ROOT / "example_workflows"
ICON = ROOT / "docs" / "icon.png"
QUALITY = 84  # of the cards' JPEG
PAINTER = WORKFLOWS / "coupled_mini.json"  # the workflow that paints for all

SIZE, FRAME, EDGE = 512, 224, 24  # pixels of a card, of its frames, and around them
MAP = (EDGE, 2 * EDGE + FRAME, SIZE - EDGE, SIZE - EDGE)  # left, top, right, bottom
LEFTS = (EDGE, SIZE - EDGE - FRAME)  # of the frames
SCALE = 4  # drawn so many times larger, then averaged down: smooth edges

PAGE, PANEL, NODE, LINK = (24, 25, 29), (31, 33, 38), (98, 103, 114), (150, 155, 166)
SKY, SUN, FAR, NEAR = (30, 76, 84), (226, 242, 236), (38, 128, 126), (64, 196, 190)
SUBJECT = (255, 159, 87)
LINKS = {
    "MODEL": "#b39ddb",
    "CLIP": "#ffd500",
    "VAE": "#ff6e6e",
    "CONDITIONING": "#ffa931",
    "LATENT": "#ff9cf9",
    "IMAGE": "#64b5f6",
    "MASK": "#81c784",
}  # as the host colors them


def draw_icon() -> Image.Image:
    """The icon, 400 x 400: the two frames, one before the other."""
    page = Image.new("RGBA", (400, 400))
    tile = Image.new("L", (400 * SCALE, 400 * SCALE))
    ImageDraw.Draw(tile).rounded_rectangle(
        (0, 0, 400 * SCALE - 1, 400 * SCALE - 1), 72 * SCALE, fill=255
    )
    page.paste(PAGE, mask=tile.reduce(SCALE))
    for subject, at in (("ball", 36), ("tent", 172)):
        page.paste(PAGE, (at - 10, at - 10, at + 202, at + 202), draw_rounded_mask(212))
        page.paste(
            landscape(subject).resize((192, 192), Image.Resampling.LANCZOS),
            (at, at),
            draw_rounded_mask(192),
        )
    return page


def draw_card(workflow: dict, frames: list[Image.Image] | None = None) -> Image.Image:
    """A card, 512 x 512, with two frames and a map of a workflow as the page saves it."""
    page = Image.new("RGB", (SIZE, SIZE), PAGE)
    for left, frame in zip(LEFTS, frames or [landscape("ball"), landscape("tent")], strict=True):
        frame = frame.convert("RGB").resize((FRAME, FRAME), Image.Resampling.LANCZOS)
        page.paste(frame, (left, EDGE), draw_rounded_mask(FRAME))
    left, top, right, bottom = MAP
    page.paste(draw_map(workflow, right - left, bottom - top), MAP[:2])
    return page


def landscape(subject: str) -> Image.Image:
    """The one landscape, with a `ball` or a `tent` in it; as large as a frame."""
    side = FRAME * SCALE
    page = Image.new("RGB", (side, side), SKY)
    pen = ImageDraw.Draw(page)
    pen.ellipse([side * x for x in (0.68, 0.12, 0.86, 0.30)], fill=SUN)
    pen.polygon(
        [side * x for x in (0, 0.62, 0.30, 0.34, 0.62, 0.64, 0.8, 0.52, 1, 0.66, 1, 1, 0, 1)],
        fill=FAR,
    )
    pen.ellipse([side * x for x in (-0.5, 0.66, 1.3, 1.9)], fill=NEAR)
    if subject == "ball":
        pen.ellipse([side * x for x in (0.30, 0.50, 0.62, 0.82)], fill=SUBJECT)
    else:
        pen.polygon([side * x for x in (0.46, 0.40, 0.70, 0.82, 0.22, 0.82)], fill=SUBJECT)
    return page.reduce(SCALE)


def draw_rounded_mask(side: int) -> Image.Image:
    """A mask: a square with round corners."""
    mask = Image.new("L", (side * SCALE, side * SCALE))
    ImageDraw.Draw(mask).rounded_rectangle(
        (0, 0, side * SCALE - 1, side * SCALE - 1), 14 * SCALE, fill=255
    )
    return mask.reduce(SCALE)


def draw_map(workflow: dict, width: int, height: int) -> Image.Image:
    """The workflow from far above: its groups, nodes and links."""
    page = Image.new("RGB", (width * SCALE, height * SCALE), PANEL)
    pen = ImageDraw.Draw(page)
    boxes = {
        n["id"]: (*n["pos"], n["pos"][0] + n["size"][0], n["pos"][1] + n["size"][1])
        for n in workflow["nodes"]
    }
    rooms = [
        (x, y, x + w, y + h) for x, y, w, h in (group["bounding"] for group in workflow["groups"])
    ]
    place = placing([*boxes.values(), *rooms], width * SCALE, height * SCALE)
    for group, room in zip(workflow["groups"], rooms, strict=True):
        tint = Image.new("RGB", (1, 1), group.get("color") or PANEL).tobytes()
        pen.rectangle(
            place(*room), fill=tuple((2 * a + b) // 3 for a, b in zip(PANEL, tint, strict=True))
        )
    for _, origin, _, target, _, kind in workflow["links"]:
        (_, y0, x0, y1), (x1, y2, _, y3) = boxes[origin], boxes[target]
        pen.line(
            place(x0, (y0 + y1) / 2, x1, (y2 + y3) / 2), fill=LINKS.get(kind, LINK), width=SCALE
        )
    for box in boxes.values():
        pen.rounded_rectangle(place(*box), SCALE, fill=NODE)
    return page.reduce(SCALE)


def placing(boxes: list[tuple], width: int, height: int):
    """A function from the workflow's coordinates to the map's, which fits all boxes into it with
    some room around.
    """
    left, top = (min(box[i] for box in boxes) for i in (0, 1))
    right, bottom = (max(box[i] for box in boxes) for i in (2, 3))
    scale = 0.92 * min(width / (right - left), height / (bottom - top))
    x0, y0 = (width - scale * (right + left)) / 2, (height - scale * (bottom + top)) / 2
    return lambda *xy: [(y0 if i % 2 else x0) + scale * v for i, v in enumerate(xy)]


def read_frames(card: Path) -> list[Image.Image] | None:
    """The two pictures of a card; None where there is no card yet."""
    if not card.is_file():
        return None
    with Image.open(card) as page:
        return [page.crop((left, EDGE, left + FRAME, EDGE + FRAME)) for left in LEFTS]


def paint_frames(client: Client, text: str, seed: int) -> list[Image.Image]:
    """The first two pictures of a coupled set of some prompts, by the mini model."""
    prompt = to_prompt(json.loads(PAINTER.read_text(encoding="utf-8")), client.object_info())
    for node in prompt.values():
        for name, value in (("prompts", text), ("seed", seed)):
            if isinstance(node["inputs"].get(name), str | int):
                node["inputs"][name] = value
    made = [found["images"] for found in client.queue(prompt).values() if "images" in found]
    return [Image.open(io.BytesIO(client.file(entry))) for entry in made[0][:2]]


def read_set(client: Client, file: Path) -> tuple[str, int]:
    """The prompts and the seed of a workflow's coupled set, typed into its nodes or into those
    before them.
    """
    workflow = json.loads(file.read_text(encoding="utf-8"))
    prompt = to_prompt(workflow, client.object_info())

    def typed(kind: str, name: str):
        (value,) = [n["inputs"][name] for n in prompt.values() if n["class_type"] == kind]
        return prompt[value[0]]["inputs"]["value"] if isinstance(value, list) else value

    return typed("CoupledSplitPrompts", "prompts"), typed("CoupledSampler", "seed")


def choose_sets(client: Client) -> dict[Path, tuple[str, int]]:
    """{workflow: prompts and seed}: its own, or the next seed where another has them already."""
    chosen: dict[Path, tuple[str, int]] = {}
    files = sorted(WORKFLOWS.glob("*.json"), key=lambda file: (file != PAINTER, file))
    for file in files:
        text, seed = read_set(client, file)
        while (text, seed) in chosen.values():
            seed += 1
        chosen[file] = text, seed
    return chosen


def draw_cards(client: Client | None = None) -> dict[Path, Image.Image]:
    """{file: card} for every workflow, beside it, where the page looks for it; with new pictures
    if there is a server to paint them.
    """
    sets = {} if client is None else choose_sets(client)
    drawn = {}
    for file in sorted(WORKFLOWS.glob("*.json")):
        workflow, card = json.loads(file.read_text(encoding="utf-8")), file.with_suffix(".jpg")
        frames = read_frames(card) if client is None else paint_frames(client, *sets[file])
        drawn[card] = draw_card(workflow, frames)
    return drawn


def save_cards(drawn: dict[Path, Image.Image]) -> None:
    draw_icon().save(ICON, optimize=True)
    for path, card in drawn.items():
        card.save(path, quality=QUALITY, optimize=True)
        print(path.relative_to(ROOT))


def main() -> None:
    parser = argparse.ArgumentParser(prog="devtools.cards")
    parser.add_argument("--host", type=Path, help="the ComfyUI folder; paints the pictures anew")
    options = parser.parse_args()
    if options.host is None:
        save_cards(draw_cards())
        return
    with run_host(Environment(Path(sys.executable), options.host)) as server:
        save_cards(draw_cards(Client(server.url)))


if __name__ == "__main__":
    main()
