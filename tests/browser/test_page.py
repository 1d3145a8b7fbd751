"""The pack as people meet it: the real page in a real browser, in both of its renderers.

Screenshots of each run are kept in output/browser.
"""

import io
import json
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image

from coupled.devtools.canvas import Canvas
from coupled.devtools.host import HostServer
from coupled.mini.size import SIZE
from coupled.nodes.theta_store import SHIPPED
from coupled.schedules import arctan, constant, from_values, parse_values, project, sin, step01

from paths import ROOT

THETA = "CoupledThetaSchedule"
FAMILIES = [sin(12.5, 0.8), arctan(7, 0.5), step01(29), constant(0.3)]
TEXTS = ["0, 0.25, 1", "[0.1 0.5; 0.4\n0.9]", "2, -1, 0.5, 0.4, 0.7, 0.6", "0.5"]
BYPASS = "app.graph._nodes.find((node) => node.type === 'CoupledModelPatch').mode = 4"
# The host's sampler in the place of the pack's, on a latent of two.
TO_KSAMPLER = """(steps) => {
    const find = (type) => app.graph._nodes.find((node) => node.type === type);
    const old = find("CoupledSampler"), host = LiteGraph.createNode("KSampler");
    app.graph.add(host);
    host.pos = [...old.pos];
    const set = (node, name, value) => (node.widgets.find((w) => w.name === name).value = value);
    set(host, "steps", steps);
    set(host, "cfg", 1);
    set(find("EmptySD3LatentImage"), "batch_size", 2);
    find("CoupledModelPatch").connect(0, host, 0);
    find("CoupledTextEncode").connect(0, host, 1);
    find("CoupledTextEncode").connect(0, host, 2);
    find("EmptySD3LatentImage").connect(0, host, 3);
    host.connect(0, old.getOutputNodes(0)[0], 0);
    app.graph.remove(old) }"""
CHAIN = "coupled_compare_mini.json"  # all nodes of a set, one by one
STEPS = 4  # of sampling: enough to see that pictures come, and come again


@pytest.fixture(scope="module", autouse=True)
def bare_host(chromium, host_server, tmp_path_factory):
    """A host that loads no custom node; it starts beside the first tests."""
    nothing = (*host_server.options, "--whitelist-custom-nodes", "none")
    server = HostServer(host_server.environment, tmp_path_factory.mktemp("bare"), *nothing)
    with ThreadPoolExecutor(1) as pool:
        starting = pool.submit(server.__enter__)
        yield starting
    server.stop()


@pytest.fixture(scope="module")
def bare_messages(bare_host, chromium) -> set[str]:
    """What the page complains of without this pack."""
    canvas = Canvas(chromium, bare_host.result().url, nodes2=False)
    canvas.page.wait_for_timeout(3000)  # some come late
    return set(canvas.messages)


# ---- help

HELP = {"en": "Inputs", "zh": "输入", "fr": "Inputs"}  # fr: the pack has no such page
# Long names of inputs; addresses, file names and settings, which have no place to break
LONG = ["CoupledTextEncode", "CoupledOptimizeTheta", "CoupledSplitPrompts", "CoupledTextAlignment"]
CUT_LINES = """(panel) => panel.scrollWidth > panel.clientWidth ||
    [...panel.querySelectorAll("p, li")].some((line) => line.scrollWidth > line.clientWidth)"""


def open_help(canvas: Canvas, node: str):
    """The Info panel with the help of a new node."""
    canvas.only(node)
    canvas.run("app.canvas.selectNode(app.graph._nodes[0])")
    panel = canvas.page.locator(".node-help-content")
    if not panel.count():
        canvas.page.get_by_test_id("info-button").first.click()
    canvas.page.wait_for_function(
        "(title) => document.querySelector('.node-help-content h1')?.innerText === title",
        arg=canvas.run("app.graph._nodes[0].title"),
    )
    return panel


@pytest.mark.needs_host("0.24", "the Info panel")
def test_help_fits_the_info_panel_in_every_language(canvas):
    for language, heading in HELP.items():
        canvas.speak(language)
        for node in LONG:
            panel = open_help(canvas, node)
            assert heading in panel.locator("h2").all_inner_texts()
            assert not panel.evaluate(CUT_LINES), (node, language)
        canvas.shot(f"help_{language}")
    canvas.speak("en")


# ---- theta by hand


def test_the_page_and_the_server_have_one_theta(canvas):
    """The JavaScript of the curve against schedules/, at steps and between them."""
    script = """async ([shape, parameters, steps]) => {
        const { course, sample } = await import("/extensions/coupled/theta.js");
        return sample(course(shape, parameters), steps) }"""
    tables = [("drawn", {"values": text}, from_values(parse_values(text))[0]) for text in TEXTS]
    families = [
        (schedule.shape, schedule.parameters | {"steps": 50}, schedule) for schedule in FAMILIES
    ]
    for shape, parameters, schedule in [*families, *tables]:
        for count in (50, 37, 6):
            found = canvas.page.evaluate(script, [shape, parameters, count])
            assert found == pytest.approx(schedule.values(count), abs=1e-12), (shape, parameters)


def test_what_the_hand_does_cannot_make_it_fall(canvas):
    values = np.random.default_rng(0).normal(0.5, 0.5, 60).tolist()
    script = "async (values) => (await import('/extensions/coupled/theta.js')).project(values)"
    projected = canvas.page.evaluate(script, values)
    assert projected == pytest.approx(project(values), abs=1e-9)
    pulled = canvas.page.evaluate(
        """async (values) => {
        const { pull } = await import("/extensions/coupled/theta.js"), lists = [];
        for (let i = 0; i < 60; i++)
            lists.push(values = pull(values, (i * 37) % 60, (i * 0.618) % 1));
        return lists }""",
        projected,
    )
    assert all(low <= high for one in pulled for low, high in pairwise(one)) and pulled[0][0] == 0


def drawn(canvas: Canvas) -> list[float]:
    inputs = canvas.inputs(THETA)
    assert inputs["shape"] == "drawn"
    return parse_values(inputs["shape.values"])


def test_a_drag_draws_and_is_one_undo(canvas):
    canvas.only(THETA)
    before, steps = canvas.inputs(THETA), canvas.undo_steps()
    canvas.draw((0.1, 0.0), (0.2, 0.1), (0.5, 0.6), (0.8, 0.9))
    values = drawn(canvas)
    assert len(values) == 50 and all(low <= high for low, high in pairwise(values))
    assert (
        values[25] == pytest.approx(0.6, abs=0.03)
        and values[40] == pytest.approx(0.9, abs=0.02)
        and values[49] == 1
    )
    assert canvas.undo_steps() == steps + 1
    canvas.shot("curve")
    canvas.press("Control+z")
    assert canvas.inputs(THETA) == before
    canvas.press("Control+y")
    assert drawn(canvas) == values
    canvas.draw((0.5, 0.6), (0.5, 0.2))  # on the node that undo made anew
    assert drawn(canvas)[25] == pytest.approx(0.2, abs=0.02) and drawn(canvas)[:10] == values[:10]


def test_a_click_changes_nothing_and_escape_takes_a_drag_back(canvas):
    canvas.only(THETA)
    before, mouse = canvas.inputs(THETA), canvas.page.mouse
    canvas.draw((0.5, 0.2), (0.502, 0.2))  # a hand that trembles by a pixel
    assert canvas.page.locator(".coupled-theta output").inner_text() == "step 25 · θ 1.00"
    mouse.down()
    mouse.move(*canvas.at(0.6, 0.1), steps=4)
    canvas.press("Escape")
    mouse.up()
    assert canvas.inputs(THETA) == before


def test_keys_reach_every_point(canvas):
    canvas.only(THETA)
    canvas.page.get_by_role("button", name="01 12", exact=True).focus()
    canvas.press(*["Tab"] * (2 if list(SHIPPED.glob("*.json")) else 1))
    plot = canvas.page.get_by_role("slider", name="theta")
    assert plot.evaluate("(plot) => plot === document.activeElement")
    assert plot.get_attribute("aria-valuetext") == "step 4 · θ 0.50"
    canvas.press("ArrowLeft", "ArrowLeft", "Shift+ArrowUp", "ArrowUp")
    assert drawn(canvas)[2] == pytest.approx(0.11 + sin(4, 0.8).values(50)[2], abs=0.002)
    canvas.press("Home", "ArrowDown")
    assert drawn(canvas)[2] == 0 and plot.get_attribute("aria-valuenow") == "0"
    canvas.press("Control+z")
    assert drawn(canvas)[2] > 0.1


def test_delete_on_the_curve_leaves_the_node(canvas):
    canvas.only(THETA)
    canvas.draw((0.5, 0.2), (0.502, 0.2))  # a click: the node is selected, the curve has the focus
    canvas.press("Delete", "Backspace")
    assert canvas.run("app.graph._nodes.map((node) => node.type)") == [THETA]


def test_presets_and_the_number_of_steps(canvas):
    canvas.only(THETA)
    canvas.draw((0.1, 0.0), (0.5, 0.5))
    curve = drawn(canvas)
    canvas.page.get_by_role("button", name="arctan 12", exact=True).click()
    assert canvas.inputs(THETA) == {
        "shape": "arctan",
        "shape.center": 12,
        "shape.k": 0.5,
        "reference_steps": 50,
    }
    canvas.press("Control+z")
    assert drawn(canvas) == curve
    canvas.run(
        """(kind) => {
        const node = app.graph._nodes.find((n) => n.type === kind);
        for (const steps of [10, 3, 50]) {
        const w = node.widgets.find((w) => w.name === "reference_steps");
        w.value = steps; w.callback(steps) } }""",
        THETA,
    )
    assert drawn(canvas) == pytest.approx(curve, abs=0.001)
    names = canvas.page.locator(".coupled-theta option").all_inner_texts()
    shipped = sorted(SHIPPED.glob("*.json"))
    assert names == (["learned", *(file.stem for file in shipped)] if shipped else [])
    for file in shipped:
        canvas.page.locator(".coupled-theta select").select_option(file.stem)
        canvas.settle()
        assert drawn(canvas) == pytest.approx(json.loads(file.read_text())["values"], abs=1e-4)


def test_a_preset_says_what_it_sets_and_the_default_is_one(canvas):
    """So there is a way back from each, and the lit one is the one that the node has."""
    canvas.only(THETA)
    default, buttons = canvas.inputs(THETA), canvas.page.locator(".coupled-theta button")
    lit = canvas.page.locator('.coupled-theta button[aria-pressed="true"]')
    assert buttons.all_inner_texts() == ["sin 4", "sin 12", "arctan 12", "01 12"]
    assert lit.all_inner_texts() == ["sin 4"]
    for name in ("sin 12", "arctan 12", "01 12", "sin 4"):
        canvas.page.get_by_role("button", name=name, exact=True).click()
        canvas.settle()
        assert lit.all_inner_texts() == [name]
        inputs = canvas.inputs(THETA)
        assert name == f"{inputs['shape']} {inputs['shape.center']}"
    assert canvas.inputs(THETA) == default
    canvas.put(THETA, **{"shape.center": 9})
    assert lit.count() == 0
    canvas.shot("presets")


def test_nodes_keep_the_size_that_they_were_given(canvas):
    canvas.only(THETA, "CoupledSplitPrompts")
    canvas.run("for (const node of app.graph._nodes) node.setSize([500, 620])")
    canvas.page.get_by_role("button", name="01 12", exact=True).click()
    canvas.open(canvas.run("app.graph.serialize()"))
    assert canvas.inputs(THETA)["shape"] == "01"
    assert canvas.run("app.graph._nodes.map((node) => [...node.size])") == [[500, 620], [500, 620]]


def test_text_that_is_no_curve_is_said_on_the_curve(canvas):
    canvas.only(THETA)
    canvas.put(THETA, shape="drawn")
    canvas.put(THETA, **{"shape.values": "0, half, 1"})
    assert "“half” is not a number" in canvas.page.locator(".coupled-theta svg").text_content()
    canvas.shot("curve_without_numbers")


# ---- running


def shows(canvas: Canvas, node_id: str, *widths: int) -> bool:
    """Waits until a node shows pictures of these widths."""
    images = (
        """[...document.querySelectorAll(`[data-node-id="${id}"] img`)]"""
        if canvas.nodes2
        else ("(app.graph.getNodeById(id).imgs ?? [])")
    )
    script = (
        f"([id, widths]) => {images}.map((image) => image.naturalWidth).join() === widths.join()"
    )
    return bool(canvas.page.wait_for_function(script, arg=[node_id, widths]))


def test_a_node_says_and_shows_what_it_found(canvas):
    picture, mask, measure = canvas.only("EmptyImage", "ImageToMask", "CoupledBackgroundSimilarity")
    canvas.put("EmptyImage", width=64, height=64, batch_size=2)
    canvas.run(
        """([a, b, c]) => {
        const [picture, mask, measure] = [a, b, c].map((id) => app.graph.getNodeById(id));
        for (const [node, slot] of [[mask, 0], [measure, 0]]) picture.connect(0, node, slot);
        mask.connect(0, measure, 1) }""",
        [picture, mask, measure],
    )
    assert canvas.press_run()["status"]["status_str"] == "success" and shows(
        canvas, str(measure), 64
    )
    assert "empty" in canvas.page.locator(".coupled-said").inner_text()
    canvas.shot("measured")
    assert (
        canvas.run("app.graph.serialize().nodes.at(-1).widgets_values ?? []") == []
    )  # a view: not saved


def take_few_steps(canvas: Canvas):
    """The one node that says it to both rows."""
    canvas.run(
        "(n) => (app.graph._nodes.find(({ title }) => title === 'Steps').widgets[0].value = n)",
        STEPS,
    )


SAYS = """(kind) => app.graph._nodes.find((node) => node.type === kind).widgets
    .find(({ name }) => name === "said")?.element.textContent ?? \"\""""


@pytest.mark.parametrize("sampler", ["CoupledSampler", "KSampler"])
def test_a_bypassed_coupled_attention_samples_plainly_and_the_nodes_say_so(canvas, sampler):
    canvas.open(json.loads((ROOT / "example_workflows" / CHAIN).read_text()))
    take_few_steps(canvas)
    canvas.run(BYPASS)
    if sampler == "KSampler":
        canvas.run(TO_KSAMPLER, STEPS)
    assert canvas.press_run()["status"]["status_str"] == "success"
    assert "Bypassed" in canvas.run(SAYS, "CoupledModelPatch")
    assert sampler == "KSampler" or "Not coupled" in canvas.run(SAYS, sampler)
    canvas.shot(f"bypassed_{sampler}")
    canvas.run(BYPASS.replace("4", "0"))
    assert canvas.press_run()["status"]["status_str"] == "success"
    assert canvas.run(SAYS, "CoupledModelPatch") == ""
    assert sampler == "KSampler" or "pictures' time" in canvas.run(SAYS, sampler)


def forget(canvas, host_server):
    """Empties the host's cache of results."""
    host_server.client.post("/free", {"unload_models": True, "free_memory": True})
    # The server's worker frees in its own time, and its answer does not wait for that.
    canvas.page.wait_for_timeout(10_000)


@pytest.mark.needs_host("0.24", "Nodes 2.0 shows all pictures of a batch", only="nodes2")
def test_run_reload_and_run_again_from_a_saved_image(canvas, host_server):
    """From the template to a saved set, by way of a page in Japanese, and from one of its files to
    the same pixels.
    """
    forget(canvas, host_server)  # a node whose result the host still has says nothing
    canvas.open(json.loads((ROOT / "example_workflows" / CHAIN).read_text()))
    take_few_steps(canvas)
    canvas.shot("mini_before")
    canvas.draw((0.2, 0.0), (0.5, 0.4), (0.7, 1.0))
    values = drawn(canvas)
    first = canvas.press_run()
    assert first["status"]["status_str"] == "success"
    assert sent_curve(first) == (canvas.inputs(THETA), values)
    pictures = {node: made["images"] for node, made in first["outputs"].items() if "images" in made}
    saved = {node: made for node, made in pictures.items() if made[0]["type"] == "output"}
    assert len(saved) == 2 and all(shows(canvas, node, SIZE, SIZE) for node in saved)
    assert canvas.run(SAYS, "CoupledSplitPrompts").splitlines() == [
        "Background: A misty forest at dawn, sunlight through trees.",
        "1: A red fox runs.",
        "2: A stag stands.",
    ]
    assert canvas.overlaps() == []  # nor with the previews that samplers show now
    canvas.shot("mini_after")

    canvas.speak("ja")
    assert drawn(canvas) == values
    words = json.loads((ROOT / "locales" / "ja" / "main.json").read_text(encoding="utf-8"))[
        "coupledCurve"
    ]
    assert canvas.page.locator(".coupled-theta svg").get_attribute("aria-label") == words["slider"]

    canvas.page.evaluate("app.graph.clear()")
    forget(canvas, host_server)  # or all would come from its cache
    entry = next(made[0] for made in saved.values() if made[0]["filename"].startswith("coupled"))
    canvas.drop(host_server.client.file(entry))
    canvas.page.wait_for_function("app.graph._nodes.some((node) => node.type === 'CoupledSampler')")
    canvas.settle(20)
    assert drawn(canvas) == values and canvas.overlaps() == []
    second = canvas.press_run()
    for node, entries in saved.items():
        again = second["outputs"][node]["images"]
        assert [e["filename"] for e in again] != [e["filename"] for e in entries]
        for one, other in zip(entries, again, strict=True):
            assert (pixels(host_server, one) == pixels(host_server, other)).all()


def sent_curve(run: dict) -> tuple[dict, list[float]]:
    """What the server got: the inputs of Theta Schedule, and the numbers in them; the kept workflow
    has the same.
    """
    (inputs,) = [
        node["inputs"] for node in run["prompt"][2].values() if node["class_type"] == THETA
    ]
    (saved,) = [
        node
        for node in run["prompt"][3]["extra_pnginfo"]["workflow"]["nodes"]
        if node["type"] == THETA
    ]
    assert saved["widgets_values"] == [
        inputs["shape"],
        inputs["shape.values"],
        inputs["reference_steps"],
    ]
    return inputs, parse_values(inputs["shape.values"])


def pixels(server, entry: dict) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(server.client.file(entry))))


def test_in_all_this_the_page_complained_of_nothing_that_the_bare_host_does_not(
    canvas, bare_messages
):
    assert set(canvas.messages) <= bare_messages
