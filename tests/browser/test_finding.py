"""Finding and opening: the templates, and the search for nodes, in the real page."""

import json

import pytest

from coupled.devtools.canvas import Canvas

from markers import NEWER_TEMPLATES
from paths import ROOT

FOLDER = ROOT / "example_workflows"
TEMPLATES = sorted(file.stem for file in FOLDER.glob("*.json"))
CHAIN = "coupled_compare_mini"  # all nodes of a set, one by one
READABLE = 0.6  # the zoom below which the classic canvas hides all text
# What stands on the page around the canvas's own middle: the bar of tabs, the side bar.
SEEN = """() => {
    const { scale, offset } = app.canvas.ds;
    const inside = (x, side) => x >= 0 && x <= side;
    return app.graph._nodes.filter(({ pos: [x, y], size: [w, h] }) =>
        ![x, x + w].every((one) => inside((one + offset[0]) * scale, innerWidth)) ||
        ![y - 30, y + h].every((one) => inside((one + offset[1]) * scale, innerHeight)))
        .map(({ title }) => title) }"""
# In Nodes 2.0 the page's own layout cuts a title that is too wide.
CUT_IN_NODES_2 = """
    const title = document.querySelector(`[data-node-id="${node.id}"] [data-testid="node-title"]`);
    if (title) return [...title.querySelectorAll(".truncate")]
        .some((part) => part.scrollWidth > part.clientWidth);
"""
# Titles wider than their nodes leave room for; on the classic canvas by their letters, with the
# corner before them.
CUT = (
    "() => app.graph._nodes.filter((node) => {"
    + CUT_IN_NODES_2
    + """
    const pen = document.createElement("canvas").getContext("2d");
    pen.font = `${LiteGraph.NODE_TEXT_SIZE}px Inter, Arial`;
    return pen.measureText(node.getTitle()).width + LiteGraph.NODE_TITLE_HEIGHT > node.size[0] })
    .map(({ title }) => title)"""
)

# Titles that the page writes short, with dots at their end.
TRUNCATED = (
    "() => app.graph._nodes.filter((node) => {"
    + CUT_IN_NODES_2
    + """
    app.canvas.ds.scale = 1;
    const written = [], pen = app.canvas.ctx, write = pen.fillText;
    pen.fillText = (text) => written.push(text);
    try { node.drawTitleText(pen, { scale: 1, default_title_color: "white" }) }
    finally { pen.fillText = write }
    return !written.includes(node.getTitle()) }).map(({ title }) => title)"""
)
# What the nodes show of a run, without the large files that one would need.
SHOW = """async () => {
    const paper = new OffscreenCanvas(512, 256);
    paper.getContext("2d").fillRect(0, 0, 512, 256);
    const blob = await paper.convertToBlob();
    const says = {
        CoupledSplitPrompts: "Background: A vibrant meadow under a clear blue sky, bathed in " +
            "sunlight.\\n1: An eagle soars gracefully.\\n2: A red fox runs.",
        CoupledSampler: "2 pictures in 2.8 pictures' time\\n" +
            "background identical outside 26% of a picture (1: 26%, 2: 25%)",
        CoupledTextAlignment: "f_ti 43.26\\n" +
            "43.87  An eagle soars gracefully in a vibrant meadow under a clear blue sky.\\n" +
            "42.65  A red fox runs in a vibrant meadow under a clear blue sky." };
    const paints = new Set(["CoupledSampler", "CoupledRandomSeed", "CoupledOptimizeTheta"]);
    for (const node of app.graph._nodes) {
        if (says[node.type]) node.onExecuted({ text: [says[node.type]] });
        const id = String(node.id), ids = { nodeId: id, displayNodeId: id, realNodeId: id };
        if (paints.has(node.type)) app.api.dispatchEvent(
            new CustomEvent("b_preview_with_metadata", { detail: { blob, ...ids } })); }
    app.canvas.setDirty(true, true) }"""

each_template = pytest.mark.parametrize(
    "name", [pytest.param(name, marks=NEWER_TEMPLATES.get(name, ())) for name in TEMPLATES]
)


def read(name: str) -> dict:
    return json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))


# ---- templates


def open_card(page, name: str, nodes: int) -> None:
    """Clicks a template's card; again where a busy page, which still moves its cards, did not hear
    it.
    """
    card = page.get_by_test_id(f"template-workflow-{name}")
    loaded = "(n) => app.graph._nodes.length === n"
    card.click()
    page.wait_for_timeout(2000)
    if not page.evaluate(loaded, nodes) and card.is_visible():
        card.click()
    page.wait_for_function(loaded, arg=nodes)


@each_template
def test_a_template_opens_readable_from_the_template_browser(laptop, name):
    page = laptop.page
    laptop.browse_templates()
    wanted = read(name)["nodes"]
    open_card(page, name, len(wanted))
    laptop.settle(20)
    assert page.evaluate("app.canvas.ds.scale") >= READABLE and page.evaluate(SEEN) == []
    assert laptop.overlaps() == [] and page.evaluate(CUT) == []
    types = page.evaluate("app.graph._nodes.map((node) => node.type)")
    assert sorted(types) == sorted(node["type"] for node in wanted)
    assert page.evaluate(
        "app.graph._nodes.every((node) => LiteGraph.registered_node_types[node.type])"
    )
    laptop.shot(f"template_{name}")


@each_template
def test_a_template_opens_readable_as_a_file(laptop, name):
    """By its saved view, which the page takes for a file that is dropped on it."""
    laptop.open(read(name))
    assert laptop.page.evaluate("app.canvas.ds.scale") >= READABLE
    assert laptop.page.evaluate(SEEN) == []


@each_template
def test_nodes_stay_apart_when_they_show_what_a_run_shows(laptop, name):
    laptop.open(read(name))
    laptop.run(SHOW)
    laptop.settle(40)
    assert laptop.overlaps() == []
    laptop.shot(f"shown_{name}")


def test_a_subgraph_opens_and_its_nodes_are_named_and_apart(canvas):
    canvas.open(read("coupled_mini"))
    canvas.run("() => app.canvas.openSubgraph(app.graph._nodes.find((n) => n.subgraph).subgraph)")
    inside = canvas.run("app.canvas.graph._nodes.map((node) => node.type)")
    assert "CoupledSampler" in inside and "CoupledDecode" in inside
    assert canvas.overlaps() == []
    canvas.run("() => app.canvas.setGraph(app.canvas.graph.rootGraph)")


WIDTHS = """(texts) => {
    const pen = document.createElement("canvas").getContext("2d");
    pen.font = `${LiteGraph.NODE_TEXT_SIZE}px Inter, Arial`;
    return texts.map((text) => pen.measureText(text).width + LiteGraph.NODE_TITLE_HEIGHT) }"""


def test_translated_titles_fit_the_nodes_of_the_templates(canvas):
    fits = {}
    for language in ("zh", "ja"):
        file = ROOT / "locales" / language / "nodeDefs.json"
        words = json.loads(file.read_text(encoding="utf-8"))
        nodes = [n for name in TEMPLATES for n in read(name)["nodes"] if n["type"] in words]
        titles = [words[node["type"]]["display_name"] for node in nodes]
        widths = canvas.run(WIDTHS, titles)
        for title, width, node in zip(titles, widths, nodes, strict=True):
            fits[title] = fits.get(title, True) and width <= node["size"][0]
    assert len(fits) > 20 and [title for title, fit in fits.items() if not fit] == []


def test_a_new_node_shows_its_whole_title(canvas):
    kinds = canvas.run(
        "Object.keys(LiteGraph.registered_node_types).filter((kind) => /^Coupled[A-Z]/.test(kind))"
    )
    assert len(kinds) > 20
    canvas.only(*kinds)
    assert canvas.run(TRUNCATED) == []


# ---- text boxes

BOXES = """() => Object.fromEntries(app.graph._nodes.filter((n) => n.widgets)
    .flatMap((n) => n.widgets.filter((w) => w.element instanceof HTMLTextAreaElement)
    .map((w) => [`${n.title}.${w.name}`, w.computedHeight])))"""
NAMES = """() => app.graph._nodes.flatMap((node) => {
    const said = [];
    const pen = { save() {}, restore() {}, fillText: (text) => said.push(`${node.title}.${text}`) };
    node.onDrawForeground?.(new Proxy(pen, { get: (o, key) => o[key] ?? (() => ({})) }));
    return said })"""
FED = ["Encode Coupled Prompts.background", "Encode Coupled Prompts.entities"]


def test_a_connected_text_box_is_one_line_with_its_name(canvas):
    """On the classic canvas, which would leave a blank hole there; in Nodes 2.0 the box stays."""
    if canvas.nodes2:
        pytest.skip("Nodes 2.0 names the box itself")
    canvas.open(read(CHAIN))
    canvas.settle(20)
    heights, names = canvas.run(BOXES), canvas.run(NAMES)
    assert {heights[box] for box in FED} == {20} and set(FED) <= set(names)
    assert heights["Split Prompts.prompts"] > 50 and "Split Prompts.prompts" not in names
    canvas.run(
        """() => { const node = app.graph._nodes.find((n) => n.type === "CoupledTextEncode");
        node.disconnectInput(node.inputs.findIndex(({ name }) => name === "background")) }"""
    )
    canvas.settle(20)
    assert canvas.run(BOXES)[FED[0]] > 40 and FED[0] not in canvas.run(NAMES)


# ---- the search

SEARCHED = [
    "same background",
    "batch prompts",
    "image set",
    "plate",
    "consistent scene",
    "before after",
    "storyboard",
    "first last frame",
]


def found_by_search(canvas: Canvas, words: str) -> list[str]:
    """The results of the page's own search for nodes: title, pack, category and description."""
    canvas.only("EmptyImage")
    canvas.page.locator("#graph-canvas").dblclick(position={"x": 1150, "y": 250})
    canvas.page.keyboard.type(words)
    canvas.page.wait_for_timeout(600)  # the page searches a little after the last key
    found = canvas.page.get_by_role("option").all_inner_texts()
    canvas.press("Escape", "Escape")
    return found


def of_the_pack(results: list[str]) -> list[str]:
    return [one for one in results if "Coupled / " in one]


@pytest.mark.needs_host("0.24", "search aliases")
def test_the_pages_search_finds_the_pack_by_the_words_that_users_type(canvas):
    assert [words for words in SEARCHED if not of_the_pack(found_by_search(canvas, words))] == []
    assert of_the_pack(found_by_search(canvas, "zzzz")) == []
