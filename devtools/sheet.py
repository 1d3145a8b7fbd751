"""Contact sheets: rows of pictures under a heading, with a caption below each. The palette is that
of all drawings on paper.
"""

from __future__ import annotations

import textwrap
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

CELL, GAP, HEADING, CAPTION = 288, 16, 44, 58  # pixels
CAPTION_WIDTH = 44  # characters below a picture of CELL pixels
LINE = 16  # pixels
INK, PAPER, QUIET = "#1b1b1f", "#fbfaf7", "#5d5c66"


def contact_sheet(
    rows: list[tuple[str, list[Image.Image]]], captions: list[str], path: Path, cell: int = CELL
) -> Path:
    """Draws one row per (heading, pictures), each picture `cell` wide, with the caption of its
    column; saves to `path`. Small pictures get more lines of caption.
    """
    lines = 2 * CELL // cell
    below = CAPTION + LINE * (lines - 2)
    columns = max(len(pictures) for _, pictures in rows)
    width = GAP + columns * (cell + GAP)
    heights = [max(_fitted(picture, cell).height for picture in pictures) for _, pictures in rows]
    sheet = Image.new(
        "RGB", (width, GAP + sum(HEADING + height + below for height in heights)), PAPER
    )
    draw, top = ImageDraw.Draw(sheet), GAP
    heading_font = ImageFont.load_default(max(14, 22 * cell / CELL))
    for (heading, pictures), height in zip(rows, heights, strict=True):
        draw.text((GAP, top + 6), heading, INK, heading_font)
        for column, picture in enumerate(pictures):
            left = GAP + column * (cell + GAP)
            sheet.paste(_fitted(picture, cell), (left, top + HEADING))
            text = captions[column] if column < len(captions) else ""
            caption = _wrapped(text, CAPTION_WIDTH * cell // CELL, lines)
            draw.multiline_text(
                (left, top + HEADING + height + 6), caption, QUIET, ImageFont.load_default(13)
            )
        top += HEADING + height + below
    sheet.save(path, quality=88)
    return path


def _wrapped(caption: str, width: int, lines: int) -> str:
    wrapped = [part for line in caption.splitlines() for part in textwrap.wrap(line, width)]
    if len(wrapped) > lines:
        return textwrap.fill(caption, width, max_lines=lines)
    return "\n".join(wrapped)


def _fitted(picture: Image.Image, cell: int) -> Image.Image:
    return picture.convert("RGB").resize(
        (cell, round(picture.height * cell / picture.width)), Image.Resampling.LANCZOS
    )
