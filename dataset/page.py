"""A page that shows a data set: samples of each verdict, how many survive each filter, and how the
measures lie. One HTML file, made from the folder alone.
"""

import base64
import collections
import html
import itertools
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from .filters import FAILED, KEPT, REJECTED
from .measures import MEASURES
from .samples import Files, numbered, read_tar, strip, strip_of
from .settings import Settings
from .store import write_aside

SAMPLES = 24  # sets shown of each verdict
BINS = 24
WIDTH, HEIGHT = 240, 70  # of a histogram
STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 72rem; padding: 0 1rem;
  color: #222; background: #fff }
.sets, .plots { display: flex; flex-wrap: wrap; gap: 1rem }
figure { margin: 0 } figcaption { font-size: 12px; max-width: 300px; overflow-wrap: anywhere }
table { border-collapse: collapse } td, th { padding: .2rem .8rem; text-align: left;
  border-bottom: 1px solid #ddd }
rect { fill: #47a } text { font: 10px sans-serif; fill: #555 }
"""


def write_page(folder: Path, metadata: Sequence[dict], settings: Settings) -> None:
    """Writes index.html."""
    counts = collections.Counter(one["verdict"] for one in metadata)
    parts = [
        f"<!doctype html><html lang=en><meta charset=utf-8><title>Data set</title>"
        f"<style>{STYLE}</style><h1>Data set</h1>",
        f"<p>{len(metadata)} sets: "
        + ", ".join(f"{counts[one]} {one}" for one in (KEPT, REJECTED, FAILED))
        + f". {describe_making(settings)}</p>",
        survival(metadata, settings),
        reasons(metadata),
        "<h2>Measures</h2><div class=plots>",
        *(histogram(key, values_of(metadata, key)) for key in MEASURES),
        "</div>",
        *sheet(folder / "shards", KEPT),
        *sheet(folder / "rejected", REJECTED),
        "</html>",
    ]
    write_aside(folder / "index.html", "\n".join(parts).encode())


def describe_making(settings: Settings) -> str:
    if settings.models.by_hand:
        return "Made in ComfyUI."
    return f"Model {escape(settings.models.name)}, {settings.steps} steps."


def escape(text: object) -> str:
    return html.escape(str(text))


def survival(metadata: Sequence[dict], settings: Settings) -> str:
    """How many sets are left after each filter."""
    made = [one["measures"] for one in metadata if one["verdict"] != FAILED]
    rows = [("asked for", len(metadata)), *settings.filters.count_survivors(made)]
    cells = "".join(f"<tr><td>{escape(what)}<td>{left}" for what, left in rows)
    return f"<h2>Survival by stage</h2><table><tr><th>stage<th>sets left{cells}</table>"


def reasons(metadata: Sequence[dict]) -> str:
    """Why sets could not be made."""
    found = collections.Counter(one["reason"] for one in metadata if one["verdict"] == FAILED)
    if not found:
        return ""
    cells = "".join(f"<tr><td>{escape(why)}<td>{count}" for why, count in found.most_common(20))
    return f"<h2>Could not be made</h2><table><tr><th>reason<th>sets{cells}</table>"


def values_of(metadata: Sequence[dict], key: str) -> list[float]:
    found = (one["measures"].get(key) for one in metadata)
    return [value for value in found if value is not None]


def histogram(key: str, values: Sequence[float]) -> str:
    """The values as bars, SVG in the page; nothing where none were measured."""
    if not values:
        return ""
    low, high = min(values), max(values)
    counts, _ = np.histogram(values, BINS, (low, high if high > low else low + 1e-9))
    step, tallest = WIDTH / BINS, counts.max()
    bars = "".join(
        f'<rect x="{i * step:.1f}" y="{HEIGHT - HEIGHT * count / tallest:.1f}"'
        f' width="{step - 1:.1f}" height="{HEIGHT * count / tallest:.1f}"/>'
        for i, count in enumerate(counts)
    )
    return (
        f'<figure><svg viewBox="0 0 {WIDTH} {HEIGHT + 14}" width="{WIDTH}" role=img'
        f' aria-label="{key}">{bars}<text x=0 y={HEIGHT + 11}>{low:.4g}</text>'
        f"<text x={WIDTH} y={HEIGHT + 11} text-anchor=end>{high:.4g}</text></svg>"
        f"<figcaption><b>{key}</b>: {escape(MEASURES[key])}</figcaption></figure>"
    )


def sheet(folder: Path, verdict: str) -> Iterator[str]:
    """The first sets of a verdict, which stand in `folder`; nothing where there are none."""
    sets = ((json.loads(files["json"]), files) for files in read_all(folder))
    chosen = (one for one in sets if one[0]["verdict"] == verdict)
    first = list(itertools.islice(chosen, SAMPLES))
    if first:
        yield f"<h2>{verdict.capitalize()}</h2><div class=sets>"
        yield from (show(*one) for one in first)
        yield "</div>"


def read_all(folder: Path) -> Iterator[Files]:
    for path in sorted(folder.glob("*.tar")):
        for _, files in read_tar(path):
            yield files


def show(record: dict, files: Files) -> str:
    """The pictures of a set side by side, the plate last; below them those of the same seed."""
    strips = [strip_of(files)]
    if uncoupled := numbered(files, "uncoupled"):
        strips.append(strip([files[name] for name in uncoupled]))
    pictures = "<br>".join(
        f'<img alt="" src="data:image/jpeg;base64,{base64.b64encode(one).decode()}">'
        for one in strips
        if one is not None
    )
    lines = [f"{record['id']}: {' · '.join(record['entities'])}", record["reason"]]
    if uncoupled:
        lines.append("below: the same seed without coupling")
    text = "<br>".join(escape(line) for line in lines if line)
    return f"<figure>{pictures}<figcaption>{text}</figcaption></figure>"
