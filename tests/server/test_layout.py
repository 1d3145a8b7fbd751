"""How the shipped workflows look when they are opened; from their files alone."""

import copy
import json

import pytest

from coupled.devtools.workflow import NOTES

from paths import ROOT

FOLDER = ROOT / "example_workflows"
FILES = sorted(FOLDER.glob("*.json"))
CHAIN = FOLDER / "coupled_compare_mini.json"  # all nodes of a set, one by one
TITLE = 30  # pixels above a node's position
GROUP_TITLE = 34  # pixels below a group's upper edge
PAGE = (1366, 768)  # pixels of a laptop's page, which the canvas fills
FITTED = 0.75  # the share of it that the page gives to a template that it opens
AROUND = 10  # pixels that the page leaves around the nodes
READABLE = 0.6  # the zoom below which the classic canvas hides all text


def reading_faults(workflow: dict) -> list[str]:
    """Nodes or groups that overlap, nodes outside the groups or over a group's title, links that
    run to the left, nothing for the reader to read.
    """
    nodes = {n["id"]: n for n in workflow["nodes"]}
    found = [] if any(n["type"] in NOTES for n in nodes.values()) else ["there is no note"]
    found += ["a group has no title" for g in workflow["groups"] if not g["title"].strip()]
    boxes = {i: box(n) for i, n in nodes.items()}
    rooms = [
        (x, y, x + width, y + height)
        for x, y, width, height in (g["bounding"] for g in workflow["groups"])
    ]
    found += [
        f"group {i} lies over group {j}"
        for i, a in enumerate(rooms)
        for j, b in enumerate(rooms)
        if j < i and meet(a, b)
    ]
    titles = [(left, top, right, top + GROUP_TITLE) for left, top, right, _ in rooms]
    for i, a in boxes.items():
        found += [
            f"{nodes[i]['type']} lies over {nodes[j]['type']}"
            for j, b in boxes.items()
            if j < i and meet(a, b)
        ]
        if any(meet(a, title) for title in titles):
            found.append(f"{nodes[i]['type']} lies over a group's title")
        if sum(within(a, room) for room in rooms) != 1:
            found.append(f"{nodes[i]['type']} is not inside one group")
    for link, origin, _, target, *_ in workflow["links"]:
        if boxes[origin][2] > boxes[target][0]:
            found.append(f"link {link} runs to the left")
    return found


def box(node: dict) -> tuple[float, float, float, float]:
    """Left, top (of the title), right, bottom."""
    (x, y), (width, height) = node["pos"], node["size"]
    return x, y - TITLE, x + width, y + height


def meet(a: tuple, b: tuple) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def within(a: tuple, room: tuple) -> bool:
    return room[0] <= a[0] and room[1] <= a[1] and a[2] <= room[2] and a[3] <= room[3]


@pytest.mark.parametrize("file", FILES, ids=lambda f: f.stem)
def test_it_reads_well(file):
    assert reading_faults(json.loads(file.read_text())) == []


def test_the_check_finds_what_reads_badly():
    good = json.loads(CHAIN.read_text())

    def moved(x: float, y: float) -> list[str]:
        workflow = copy.deepcopy(good)
        next(n for n in workflow["nodes"] if n["type"] == "CoupledSampler")["pos"] = [x, y]
        return reading_faults(workflow)

    assert any("runs to the left" in found for found in moved(-900, 0))
    assert any("not inside one group" in found for found in moved(-900, 0))
    encode = next(n for n in good["nodes"] if n["type"] == "CoupledTextEncode")
    assert any("lies over" in found for found in moved(*encode["pos"]))
    group = next(g for g in good["groups"] if g["title"] == "Coupled")["bounding"]
    assert "CoupledSampler lies over a group's title" in moved(*group[:2])
    wide = copy.deepcopy(good)
    wide["groups"][0]["bounding"][2] += 100
    assert "group 1 lies over group 0" in reading_faults(wide)


def test_the_first_one_is_small():
    """The loader, Coupled Set, the result and a note; what it shows at the first look."""
    workflow = json.loads((FOLDER / "coupled_mini.json").read_text())
    titles = [node.get("title") or node["type"] for node in workflow["nodes"]]
    assert sorted(titles) == ["Coupled Set", "CoupledLoadMini", "Read me", "SaveImage"]


def opening(workflow: dict) -> float:
    """The zoom at which a page of a laptop opens a template: the page fits its nodes, and takes
    no saved view.
    """
    left, top, right, bottom = zip(*map(box, workflow["nodes"]), strict=True)
    sides = max(right) - min(left), max(bottom) - min(top)
    return min(
        FITTED * all_of / (side + 2 * AROUND) for all_of, side in zip(PAGE, sides, strict=True)
    )


def view_faults(workflow: dict) -> list[str]:
    """A zoom that hides the text, when opened as a template or as a file with its saved view, and
    nodes outside that view.
    """
    (x, y), zoom = workflow["extra"]["ds"]["offset"], workflow["extra"]["ds"]["scale"]
    page = (-x, -y, PAGE[0] / zoom - x, PAGE[1] / zoom - y)
    found = [f"it opens at {one:.2f}" for one in (opening(workflow), zoom) if one < READABLE]
    hidden = [node["type"] for node in workflow["nodes"] if not within(box(node), page)]
    return found + [f"{kind} is out of sight" for kind in hidden]


@pytest.mark.parametrize("file", FILES, ids=lambda f: f.stem)
def test_it_opens_readable_on_a_laptop(file):
    assert view_faults(json.loads(file.read_text())) == []


def test_the_check_finds_what_is_too_far_or_out_of_sight():
    workflow = json.loads(CHAIN.read_text())
    workflow["nodes"][0]["pos"][0] -= 400
    found = view_faults(workflow)
    assert found[0] == "it opens at 0.49" and found[1].endswith("is out of sight")
