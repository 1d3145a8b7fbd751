"""The real page in a real Chromium: one renderer, its nodes, the hand on them, its messages, its
pictures.
"""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from urllib.request import Request, urlopen

from .client import Client
from .environment import OUTPUT

SHOTS = OUTPUT / "browser"  # every screenshot of the last run of the tests
SIZE = {"width": 1600, "height": 1000}
OPTIONS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
SETTLE = """(frames) => new Promise((done) => {
  const next = () => (frames-- > 0 ? requestAnimationFrame(next) : setTimeout(done, 50));
  next();
})"""
SETTINGS = {"Comfy.TutorialCompleted": True, "Comfy.Locale": "en"}
# the host's own workflow, or the last
READY = "window.app?.extensionManager && window.app.graph?._nodes.length > 0"
FRAME = """([ids, most]) => {
  const nodes = app.graph._nodes.filter((node) => !ids || ids.includes(node.id));
  const [w, h] = [innerWidth, innerHeight];
  const box = ({ pos: [x, y], size: [w, h] }) => [x, y - 30, x + w, y + h];
  const sides = nodes.map(box);
  const [x0, y0] = [0, 1].map((i) => Math.min(...sides.map((s) => s[i])));
  const [x1, y1] = [2, 3].map((i) => Math.max(...sides.map((s) => s[i])));
  const scale = Math.min(most, (w - 200) / (x1 - x0), (h - 180) / (y1 - y0));
  app.canvas.ds.scale = scale;
  const middle = [(x0 + x1) / 2, (y0 + y1) / 2];
  app.canvas.ds.offset = [(w + 60) / 2 / scale - middle[0], (h + 60) / 2 / scale - middle[1]];
  app.canvas.setDirty(true, true);
}"""
# Has the undo history take the graph as it is; the page of ComfyUI 0.20 calls that checkState.
TAKE_NOTE = """() => {
    const tracker = app.extensionManager.workflow.activeWorkflow.changeTracker;
    tracker.captureCanvasState ? tracker.captureCanvasState() : tracker.checkState() }"""
# Nodes with their titles, and the letters of the groups' titles: [name, left, top, right, bottom].
BOXES = """() => {
  const pen = document.createElement("canvas").getContext("2d");
  const letters = ({ title, font_size, pos: [x, y] }) => {
    pen.font = `${font_size}px Inter, Arial`;
    return [title, x, y, x + pen.measureText(title).width + font_size / 2, y + 1.4 * font_size];
  };
  const box = ({ title, pos: [x, y], size: [w, h] }) =>
    [title, x, y - LiteGraph.NODE_TITLE_HEIGHT, x + w, y + h];
  return [app.canvas.graph._nodes.map(box), app.canvas.graph._groups.map(letters)];
}"""
ONLY = """async (types) => {
  const empty = { version: 0.4, last_node_id: 0, last_link_id: 0, nodes: [], links: [] };
  await app.loadGraphData({ id: crypto.randomUUID(), ...empty });
  const nodes = types.map((type) => LiteGraph.createNode(type));
  let x = 0;
  for (const node of nodes) {
    app.graph.add(node);
    node.pos = [x, 0];
    x += node.size[0] + 60;
  }
  app.canvas.ds.scale = 1.2;
  app.canvas.ds.offset = [200, 150];
  return nodes.map((node) => node.id);
}"""


def set_setting(url: str, key: str, value: object) -> None:
    body, kind = json.dumps(value).encode(), {"Content-Type": "application/json"}
    urlopen(Request(f"{url}/settings/{key}", body, kind, method="POST"), timeout=30).close()


class Canvas:
    """ComfyUI's page, opened with the classic canvas or with Nodes 2.0; `options` are Playwright's
    for a new page.
    """

    def __init__(self, browser, url: str, nodes2: bool, **options: object):
        self.url, self.nodes2, self.messages, self.client = url, nodes2, [], Client(url)
        for key, value in (SETTINGS | {"Comfy.VueNodes.Enabled": nodes2}).items():
            set_setting(url, key, value)
        self.page = browser.new_page(viewport=SIZE, **options)
        self.page.set_default_timeout(60_000)
        self.page.on("console", lambda message: message.type == "error" and self.note(message.text))
        self.page.on("pageerror", lambda error: self.note(str(error)))
        self.page.goto(url)
        self.wait_until_ready()

    def wait_until_ready(self) -> None:
        self.page.wait_for_function(READY)
        self.settle(20)

    def speak(self, language: str) -> None:
        """Opens the page again in that language, with what is open."""
        set_setting(self.url, "Comfy.Locale", language)
        self.page.wait_for_timeout(1000)  # the page keeps what is open a moment later
        self.page.reload()
        self.wait_until_ready()

    def settle(self, frames: int = 8) -> None:
        """Waits for the page: it draws and lays out some frames after each change, slowly on a busy
        machine.
        """
        self.page.evaluate(SETTLE, frames)

    def note(self, text: str) -> None:
        """Keeps an error of the console; addresses and line numbers differ between servers."""
        self.messages.append(re.sub(r"https?://\S+|\d+", "…", text.partition("\n")[0]))

    def run(self, script: str, argument: object = None):
        """The value of JavaScript in the page, once the page has settled."""
        value = self.page.evaluate(script, argument)
        self.settle()
        return value

    def browse_templates(self) -> None:
        """Opens the template browser on this pack's."""
        self.page.get_by_label("Templates").first.click()
        self.page.get_by_text("Coupled", exact=True).last.click()

    def open(self, workflow: dict) -> None:
        self.run("(workflow) => app.loadGraphData(workflow)", workflow)

    def only(self, *types: str) -> list[int]:
        """A graph of new nodes of these types, in a row; their ids."""
        ids = self.run(ONLY, types)
        self.page.evaluate(TAKE_NOTE)
        return ids

    def inputs(self, kind: str) -> dict:
        """{name: value} of the widgets that the first node of a type saves."""
        return self.page.evaluate(
            """(kind) => Object.fromEntries(app.graph._nodes.find((n) => n.type === kind).widgets
            .filter((widget) => widget.serialize !== false)
            .map(({ name, value }) => [name, value]))""",
            kind,
        )

    def put(self, kind: str, **values: object) -> None:
        """Sets widgets of every node of a type."""
        self.run(
            """([kind, values]) => {
            for (const node of app.graph._nodes.filter((n) => n.type === kind))
            for (const [name, value] of Object.entries(values))
            node.widgets.find((w) => w.name === name).value = value;
            }""",
            [kind, values],
        )

    def undo_steps(self) -> int:
        return self.page.evaluate(
            "app.extensionManager.workflow.activeWorkflow.changeTracker.undoQueue.length"
        )

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)
        self.settle()

    def at(self, progress: float, theta: float) -> tuple[float, float]:
        """Where (progress, theta) lies on the screen; the margins are those of theta_picture.js."""
        box, zoom = (
            self.page.locator(".coupled-theta svg").bounding_box(),
            self.page.evaluate("app.canvas.ds.scale"),
        )
        left, right, top, bottom = (zoom * side for side in (26, 14, 12, 20))
        return (
            box["x"] + left + progress * (box["width"] - left - right),
            box["y"] + top + (1 - theta) * (box["height"] - top - bottom),
        )

    def draw(self, *points: tuple[float, float]) -> None:
        """Drags over (progress, theta) points of the curve with the mouse."""
        mouse = self.page.mouse
        mouse.move(*self.at(*points[0]))
        mouse.down()
        for point in points[1:]:
            mouse.move(*self.at(*point), steps=8)
        mouse.up()
        self.settle()

    def press_run(self, seconds: float = 120) -> dict:
        """Presses the page's Run button and waits for the end; the run as the server's history has
        it.
        """
        before = set(self.client.get("/history"))
        self.page.get_by_test_id("queue-button").first.click()
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if done := [
                run for key, run in self.client.get("/history").items() if key not in before
            ]:
                return done[0]
            self.page.wait_for_timeout(200)
        raise TimeoutError(f"the run did not end within {seconds} s")

    def overlaps(self) -> list[str]:
        """Nodes that lie over another or over a group's title, as large as the page makes them;
        of the open subgraph, if one is.
        """
        nodes, titles = self.page.evaluate(BOXES)
        return [
            f"{a[0]} over {b[0]}"
            for i, a in enumerate(nodes)
            for b in [*nodes[:i], *titles]
            if a[1] < b[3] and b[1] < a[3] and a[2] < b[4] and b[2] < a[4]
        ]

    def drop(self, png: bytes) -> None:
        """Drops a file onto the page, as a hand does."""
        files = self.page.evaluate_handle(
            """(bytes) => {
            const transfer = new DataTransfer();
            const file = new File([new Uint8Array(bytes)], "shared.png", { type: "image/png" });
            transfer.items.add(file);
            return transfer }""",
            list(png),
        )
        self.page.dispatch_event("#graph-canvas", "drop", {"dataTransfer": files})

    def frame(self, *ids: int, most: float = 1.5) -> None:
        """Brings all nodes into view, or those of `ids`, at a zoom of `most` or less."""
        self.page.evaluate(FRAME, [list(ids) or None, most])
        self.settle()

    def shot(self, name: str, *ids: int) -> Path:
        """A screenshot with all nodes in view, or those of `ids`."""
        SHOTS.mkdir(parents=True, exist_ok=True)
        self.frame(*ids)
        path = SHOTS / f"{name}_{'nodes2' if self.nodes2 else 'classic'}.png"
        self.page.screenshot(path=path)
        return path
