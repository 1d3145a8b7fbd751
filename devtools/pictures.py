"""Takes the pictures of the README and of the help pages from the real page.

`python -m devtools.pictures --host FOLDER`, after `dev.py setup`. A node's picture is named as its
help page is found: `web/docs/<node id>/node.jpg`.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
from pathlib import Path

from PIL import Image

from .browser import find_browser
from .canvas import OPTIONS, Canvas, set_setting
from .environment import ROOT, Environment
from .host import run_host

DOCS, HELP = ROOT / "docs", ROOT / "web" / "docs"
CALM = {
    "Comfy.Minimap.Visible": False,
    "Comfy.Graph.CanvasInfo": False,
    "Comfy.Graph.CanvasMenu": False,
}
EDGE = 14  # pixels around what is shown
TALLEST = 1200  # pixels of a picture
SHOWN = 4000  # ms until the notes that the page lays over the canvas are gone
LEARNING = 1.5  # minutes of the run whose node is shown
BOX = """(ids) => {
  const { scale, offset } = app.canvas.ds;
  const { left, top } = app.canvas.canvas.getBoundingClientRect();
  const nodes = app.graph._nodes.filter((node) => !ids.length || ids.includes(node.id));
  const groups = ids.length ? [] : app.graph._groups;
  const box = ({ pos: [x, y], size: [w, h] }) => [x, y - 30, x + w, y + h];
  const sides = [...nodes.map(box),
    ...groups.map((g) => [g.pos[0], g.pos[1], g.pos[0] + g.size[0], g.pos[1] + g.size[1]])];
  const side = (i, pick) =>
    (pick(...sides.map((s) => s[i])) + offset[i % 2]) * scale + (i % 2 ? top : left);
  return [side(0, Math.min), side(1, Math.min), side(2, Math.max), side(3, Math.max)];
}"""
LINK = """([from, ...to]) =>
  to.forEach((id) => app.graph.getNodeById(from).connect(0, app.graph.getNodeById(id), 0))"""
FIRST = """(types) => types.map((type) => app.graph._nodes.filter((node) => node.type === type)
  .reduce((a, b) => (a.pos[1] <= b.pos[1] ? a : b)).id)"""  # of each type the uppermost


def take(canvas: Canvas, path: Path, *ids: int, width: int, most: float = 1.0) -> None:
    """A JPEG of the nodes `ids`, or of the whole workflow, `width` pixels wide at most."""
    canvas.frame(*ids, most=most)
    canvas.page.wait_for_timeout(SHOWN)
    left, top, right, bottom = canvas.page.evaluate(BOX, list(ids))
    clip = {
        "x": left - EDGE,
        "y": top - EDGE,
        "width": right - left + 2 * EDGE,
        "height": bottom - top + 2 * EDGE,
    }
    save(canvas.page.screenshot(clip=clip), path, width)


def save(png: bytes, path: Path, width: int) -> None:
    picture = Image.open(io.BytesIO(png)).convert("RGB")
    picture.thumbnail((width, TALLEST), Image.Resampling.LANCZOS)
    picture.save(path, quality=84, optimize=True, progressive=True)
    print(path.relative_to(ROOT), picture.size, path.stat().st_size, flush=True)


def open_template(canvas: Canvas, name: str) -> None:
    canvas.open(
        json.loads((ROOT / "example_workflows" / f"{name}.json").read_text(encoding="utf-8"))
    )


def help_pictures(canvas: Canvas, *types: str) -> None:
    """One picture for each of these nodes of the open workflow, each alone."""
    for kind, node in zip(types, canvas.run(FIRST, types), strict=True):
        take(canvas, HELP / kind / "node.jpg", node, width=720)


def templates(canvas: Canvas) -> None:
    canvas.browse_templates()
    canvas.page.wait_for_timeout(SHOWN)
    box = canvas.page.get_by_role("dialog").last.bounding_box()
    save(
        canvas.page.screenshot(clip=box | {"height": 0.72 * box["height"]}),
        DOCS / "templates.jpg",
        1400,
    )
    canvas.page.keyboard.press("Escape")


def a_set(canvas: Canvas) -> None:
    open_template(canvas, "coupled_compare_mini")
    canvas.press_run()
    take(canvas, DOCS / "canvas.jpg", width=1800, most=0.6)
    help_pictures(
        canvas,
        "CoupledLoadMini",
        "CoupledSplitPrompts",
        "CoupledTextEncode",
        "CoupledModelPatch",
        "CoupledSampler",
        "CoupledRandomSeed",
    )


def keeping(canvas: Canvas) -> None:
    open_template(canvas, "coupled_dataset_mini")
    help_pictures(canvas, "CoupledSaveSet")


def measuring(canvas: Canvas) -> None:
    open_template(canvas, "coupled_measure_mini")
    canvas.press_run()
    kinds = [
        "CoupledSegmentEntities",
        "CoupledBackgroundSimilarity",
        "CoupledTextAlignment",
        "CoupledScore",
    ]
    take(canvas, DOCS / "measure.jpg", *canvas.run(FIRST, kinds), width=1400)
    help_pictures(canvas, *kinds)


def learning(canvas: Canvas) -> None:
    open_template(canvas, "coupled_optimize_mini")
    canvas.put("CoupledOptimizeTheta", minutes=LEARNING)
    canvas.press_run(seconds=600)
    help_pictures(canvas, "CoupledOptimizeTheta")


def curves(canvas: Canvas) -> None:
    """What makes a theta, each beside its plot; drawn by hand on Theta Schedule."""
    for kind in ("CoupledThetaValues", "CoupledThetaCurve", "CoupledThetaSchedule"):
        ids = canvas.only(kind, "CoupledThetaPlot", "CoupledThetaSave")
        canvas.run(LINK, ids)
        if kind == "CoupledThetaSchedule":
            canvas.run("(id) => app.graph.getNodeById(id).setSize([480, 420])", ids[0])
            canvas.run(
                "(ids) => ids.forEach((id, i) => (app.graph.getNodeById(id).pos = [540 * i, 0]))",
                ids,
            )
            canvas.draw((0.16, 0.0), (0.24, 0.12), (0.36, 0.62), (0.56, 0.92))
            canvas.page.mouse.move(*canvas.at(0.36, 0.62))
        canvas.press_run()
        take(canvas, HELP / kind / "node.jpg", ids[0], width=720)
    take(canvas, DOCS / "curve.jpg", *ids[:2], width=1400, most=1.2)
    help_pictures(canvas, "CoupledThetaPlot", "CoupledThetaSave")


def alone(canvas: Canvas) -> None:
    for kind in (
        "CoupledThetaLoad",
        "CoupledNoise",
        "CoupledDecode",
        "CoupledPair",
        "CoupledP2P",
        "CoupledRFInversion",
    ):
        canvas.only(kind)
        help_pictures(canvas, kind)


SCENES = {
    scene.__name__: scene
    for scene in (templates, a_set, keeping, measuring, curves, alone, learning)
}


def main() -> None:
    from playwright.sync_api import sync_playwright

    parser = argparse.ArgumentParser(prog="devtools.pictures")
    parser.add_argument("--host", type=Path, required=True, help="the ComfyUI folder")
    parser.add_argument(
        "scenes", nargs="*", default=list(SCENES), help=f"of {', '.join(SCENES)}; all without"
    )
    options = parser.parse_args()
    environment = Environment(Path(sys.executable), options.host)
    with (
        run_host(environment, "--preview-method", "latent2rgb") as server,
        sync_playwright() as playwright,
    ):
        for key, value in CALM.items():
            set_setting(server.url, key, value)
        browser = playwright.chromium.launch(executable_path=str(find_browser()), args=OPTIONS)
        canvas = Canvas(browser, server.url, nodes2=True, device_scale_factor=2)
        for name in options.scenes:
            SCENES[name](canvas)
        browser.close()


if __name__ == "__main__":
    main()
