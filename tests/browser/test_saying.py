"""What nodes show of their run, in the real page: the pair of a film, errors with their cure, words
that the mini model passes over, progress; and all of it in the page's language.
"""

import json

from coupled.devtools.canvas import Canvas

from notes import collect_notes, translate
from paths import ROOT

FOLDER = ROOT / "example_workflows"
STEPS = 4
SAID = """() => Object.fromEntries(app.graph._nodes.map((node) =>
    [node.title, node.widgets?.find(({ name }) => name === "said")?.element.textContent ?? ""]))"""
# Pictures to a mask and to the pair, and the pair to what shows it.
PAIR = """([picture, mask, pair, shown]) => {
    const [a, b, c, d] = [picture, mask, pair, shown].map((id) => app.graph.getNodeById(id));
    a.connect(0, b, 0);
    a.connect(0, c, 0);
    b.connect(0, c, c.inputs.findIndex(({ name }) => name === "entity_masks"));
    c.connect(0, d, 0) }"""
TRANSLATE = """async (text) =>
    (await import("/extensions/coupled/translate.js")).translate(text)"""
# What the host itself draws on a node while it runs.
TOLD = """([id, text]) => {
    app.api.dispatchCustomEvent("progress_text", { nodeId: String(id), text });
    const { widgets } = app.graph.getNodeById(id);
    return widgets.find(({ name }) => name.includes("text-preview")).value }"""
LINK = "([a, b]) => app.graph.getNodeById(a).connect(0, app.graph.getNodeById(b), 0)"
HEAR = """() => {
    window.heard = [];
    const hear = ({ detail: { value, max } }) => heard.push([value, max]);
    app.api.addEventListener("progress", hear) }"""


def open_chain(canvas: Canvas) -> None:
    canvas.open(json.loads((FOLDER / "coupled_compare_mini.json").read_text(encoding="utf-8")))
    canvas.run(
        "(n) => (app.graph._nodes.find(({ title }) => title === 'Steps').widgets[0].value = n)",
        STEPS,
    )


def test_first_and_last_frame_shows_its_pair_and_its_number(canvas):
    kinds = ("EmptyImage", "ImageToMask", "CoupledPair", "PreviewImage")
    ids = canvas.only(*kinds)
    canvas.put("EmptyImage", width=64, height=64, batch_size=2)
    canvas.run(PAIR, ids)
    assert canvas.press_run()["status"]["status_str"] == "success"
    images = (
        f"""[...document.querySelectorAll('[data-node-id="{ids[2]}"] img')]"""
        if canvas.nodes2
        else f"(app.graph.getNodeById({ids[2]}).imgs ?? [])"
    )
    canvas.page.wait_for_function(f"{images}.map((one) => one.naturalWidth).join() === '64,64'")
    assert "empty" in canvas.run(SAID)["First and Last Frame"]  # black masks: why there is none
    canvas.shot("pair")


def test_a_node_that_failed_shows_the_cure_until_the_next_run(canvas):
    ids = canvas.only("EmptyImage", "ImageToMask", "CoupledPair", "PreviewImage")
    canvas.put("EmptyImage", width=64, height=64, batch_size=2)
    canvas.put("CoupledPair", first=7)
    canvas.run(PAIR, ids)
    assert canvas.press_run()["status"]["status_str"] == "error"
    canvas.settle(20)
    said = canvas.run(SAID)["First and Last Frame"]
    assert said == "Choose -2 to 1 for first: it is 7, but there are 2 images."
    canvas.shot("failed")
    canvas.put("CoupledPair", first=0)
    assert canvas.press_run()["status"]["status_str"] == "success"
    canvas.settle(20)
    assert "Choose" not in canvas.run(SAID)["First and Last Frame"]


def test_an_error_inside_coupled_set_stands_on_the_page(canvas):
    canvas.open(json.loads((FOLDER / "coupled_mini.json").read_text(encoding="utf-8")))
    canvas.run(
        """() => (app.graph._nodes.find((node) => node.subgraph).widgets
        .find(({ name }) => name === "prompts").value = "A penguin stands on a beach.")"""
    )
    assert canvas.press_run()["status"]["status_str"] == "error"
    canvas.page.locator("text=Write two or more prompts >> visible=true").first.wait_for()
    canvas.shot("failed_inside")


def test_a_run_counts_its_steps_and_says_what_it_passed_over(canvas):
    """In two passes, with one node for both rows, and a subject that the mini model knows not."""
    open_chain(canvas)
    place = "on a sandy beach by the sea."
    verb = "sits" if canvas.nodes2 else "stands"  # else all would come from the host's cache
    prompts = f"A penguin {verb} {place}\nA xylophone stands {place}"
    canvas.put("CoupledSplitPrompts", prompts=prompts)
    canvas.put("CoupledSampler", images_per_pass=1)
    canvas.run(HEAR)
    assert canvas.press_run()["status"]["status_str"] == "success"
    canvas.settle(20)
    heard = canvas.run("heard")
    assert {most for _, most in heard} == {STEPS}
    assert max(value for value, _ in heard) == STEPS
    said = canvas.run(SAID)
    for title in ("Encode Coupled Prompts", "Random Seed Baseline"):
        assert said[title].endswith(": xylophone")
    assert canvas.overlaps() == []


def test_nodes_speak_the_pages_language(canvas, language, tmp_path):
    """After a run, while it goes on, and whatever they may say."""
    split, shown = canvas.only("CoupledSplitPrompts", "PreviewAny")
    place = "in a meadow" if canvas.nodes2 else "on a beach"  # else the host has it in its cache
    canvas.put("CoupledSplitPrompts", prompts=f"A dog runs {place}.\nA cat {language} {place}.")
    canvas.run(LINK, [split, shown])
    assert canvas.press_run()["status"]["status_str"] == "success"
    canvas.settle(20)
    background, first, _ = canvas.run(SAID)[canvas.run("app.graph._nodes[0].title")].splitlines()
    assert background.startswith("背景：") and first == "1: A dog runs."
    canvas.shot(f"speaks_{language}", split)

    (learns,) = canvas.only("CoupledOptimizeTheta")
    text = "Schedule 2 of 15: the paper's shape sin. Set 1 of 1.\nAbout 1 minute left."
    told = "\n".join(translate(line, language) for line in text.splitlines())
    assert canvas.run(TOLD, [learns, text]) == told != text
    (other,) = canvas.only("PreviewAny")
    assert canvas.run(TOLD, [other, "Done."]) == "Done."

    notes = collect_notes(tmp_path)
    spoken = canvas.run(TRANSLATE, "\n".join(notes)).splitlines()
    assert spoken == [translate(line, language) for line in notes]
