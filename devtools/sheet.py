"""The demo's contact sheet: rows of pictures under a heading, with a caption below each."""

from __future__ import annotations

import textwrap
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

CELL, GAP, HEADING, CAPTION = 288, 16, 44, 58  # pixels
INK, PAPER, QUIET = "#1b1b1f", "#fbfaf7", "#5d5c66"


def contact_sheet(
    rows: list[tuple[str, list[Image.Image]]], captions: list[str], path: Path
) -> Path:
    """Draws one row per (heading, pictures), each picture `CELL` wide, with its caption; saves to
    `path`.
    """
    columns = max(len(pictures) for _, pictures in rows)
    width = GAP + columns * (CELL + GAP)
    heights = [max(_fitted(picture).height for picture in pictures) for _, pictures in rows]
    sheet = Image.new(
        "RGB", (width, GAP + sum(HEADING + height + CAPTION for height in heights)), PAPER
    )
    draw, top = ImageDraw.Draw(sheet), GAP
    for (heading, pictures), height in zip(rows, heights, strict=True):
        draw.text((GAP, top + 6), heading, INK, ImageFont.load_default(22))
        for column, picture in enumerate(pictures):
            left = GAP + column * (CELL + GAP)
            sheet.paste(_fitted(picture), (left, top + HEADING))
            caption = textwrap.fill(
                captions[column] if column < len(captions) else "", 44, max_lines=2
            )
            draw.multiline_text(
                (left, top + HEADING + height + 6), caption, QUIET, ImageFont.load_default(13)
            )
        top += HEADING + height + CAPTION
    sheet.save(path)
    return path


def _fitted(picture: Image.Image) -> Image.Image:
    return picture.convert("RGB").resize(
        (CELL, round(picture.height * CELL / picture.width)), Image.Resampling.LANCZOS
    )
