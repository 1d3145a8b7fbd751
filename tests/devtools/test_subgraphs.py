"""Subgraphs of saved workflows, unpacked: the same nodes and links, past the node that stood for
them.
"""

import copy

from coupled.devtools.subgraphs import ENTRY, EXIT, unpack
from coupled.devtools.workflow import MUTED


def node(number: int, kind: str, *inputs: dict, **others) -> dict:
    return {"id": number, "type": kind, "inputs": list(inputs), "outputs": [], **others}


def socket(name: str, widget: bool = False) -> dict:
    return {"name": name, "link": None} | ({"widget": {"name": name}} if widget else {})


def link(number: int, origin: int, slot: int, target: int, into: int) -> dict:
    ends = {"origin_id": origin, "origin_slot": slot, "target_id": target, "target_slot": into}
    return {"id": number, **ends, "type": "IMAGE"}


# In it Blur takes the image and the radius that enter, and Sharpen what Blur gives.
INNER = {
    "id": "uuid",
    "inputs": [socket("image"), socket("radius")],
    "outputs": [socket("image")],
    "nodes": [
        node(1, "Blur", socket("image"), socket("radius", True), widgets_values=[1]),
        node(2, "Sharpen", socket("image")),
    ],
    "links": [
        link(1, ENTRY, 0, 1, 0),
        link(2, ENTRY, 1, 1, 1),
        link(3, 1, 0, 2, 0),
        link(4, 2, 0, EXIT, 0),
    ],
}
OUTER = node(8, "uuid", socket("image"), socket("radius", True), widgets_values=[5])
WORKFLOW = {
    "nodes": [
        node(7, "Load"),
        OUTER,
        node(9, "Save", socket("image")),
        node(10, "Show", socket("image")),
    ],
    "links": [[1, 7, 0, 8, 0, "IMAGE"], [2, 8, 0, 9, 0, "IMAGE"], [3, 8, 0, 10, 0, "IMAGE"]],
    "definitions": {"subgraphs": [INNER]},
}


def ends(workflow: dict) -> set[tuple]:
    return {
        (x["origin_id"], x["origin_slot"], x["target_id"], x["target_slot"])
        for x in workflow["links"]
    }


def test_the_inner_nodes_take_the_place_of_the_outer():
    before = copy.deepcopy(WORKFLOW)
    flat = unpack(WORKFLOW)
    assert WORKFLOW == before
    assert {n["id"]: n["type"] for n in flat["nodes"]} == {
        **{7: "Load", 9: "Save", 10: "Show"},
        **{"8:1": "Blur", "8:2": "Sharpen"},
    }
    assert ends(flat) == {
        (7, 0, "8:1", 0),
        ("8:1", 0, "8:2", 0),
        ("8:2", 0, 9, 0),
        ("8:2", 0, 10, 0),
    }


def test_each_input_names_its_own_link():
    flat = unpack(WORKFLOW)
    into = {x["id"]: (x["target_id"], x["target_slot"]) for x in flat["links"]}
    named = {
        one["link"]: (n["id"], slot)
        for n in flat["nodes"]
        for slot, one in enumerate(n["inputs"])
        if one["link"] is not None
    }
    assert named == into and len(named) == 4


def test_the_outer_nodes_value_counts():
    (blur,) = [n for n in unpack(WORKFLOW)["nodes"] if n["type"] == "Blur"]
    assert blur["given"] == {"radius": 5} and blur["widgets_values"] == [1]


def test_a_muted_outer_node_mutes_all():
    workflow = copy.deepcopy(WORKFLOW)
    workflow["nodes"][1]["mode"] = MUTED
    modes = {n["id"]: n.get("mode", 0) for n in unpack(workflow)["nodes"]}
    assert modes == {7: 0, 9: 0, 10: 0, "8:1": MUTED, "8:2": MUTED}


def test_one_subgraph_may_stand_in_another():
    outermost = {
        **INNER,
        "id": "other",
        "nodes": [node(3, "uuid", socket("image"), socket("radius", True), widgets_values=[7])],
        "links": [link(1, ENTRY, 0, 3, 0), link(2, ENTRY, 1, 3, 1), link(3, 3, 0, EXIT, 0)],
    }
    workflow = copy.deepcopy(WORKFLOW)
    workflow["nodes"][1]["type"] = "other"
    workflow["definitions"]["subgraphs"].append(outermost)
    flat = unpack(workflow)
    names = {n["id"] for n in flat["nodes"]}
    assert names == {7, 9, 10, "8:3:1", "8:3:2"} and (7, 0, "8:3:1", 0) in ends(flat)
    (blur,) = [n for n in flat["nodes"] if n["type"] == "Blur"]
    assert blur["given"] == {"radius": 5}  # the outermost node's
