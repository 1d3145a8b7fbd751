"""The subgraph blueprint, as the host serves it: whole, true to the nodes, and it runs."""

import json
from pathlib import Path

import pytest

from coupled.devtools.workflow import to_prompt

from paths import ROOT

FILES = sorted((ROOT / "subgraphs").glob("*.json"))
ENTRY, EXIT = -10, -20  # the ids of a subgraph's own input and output node
SMALL = {"width": 64, "height": 64, "steps": 2}

each_blueprint = pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)


def parts(file: Path) -> tuple[dict, dict]:
    """(the one node, the subgraph that it stands for)"""
    workflow = json.loads(file.read_text(encoding="utf-8"))
    (node,), (subgraph,) = workflow["nodes"], workflow["definitions"]["subgraphs"]
    assert node["type"] == subgraph["id"] and workflow["links"] == []
    return node, subgraph


def unpacked(file: Path) -> dict:
    """The subgraph as a plain workflow, with the mini model and Save Image where its sockets are.

    The values that the node carries stand in the inner nodes as well, so their links are left out.
    """
    _, subgraph = parts(file)
    load = {"id": 901, "type": "CoupledLoadMini", "inputs": [], "outputs": []}
    sockets = [{"name": "images", "type": "IMAGE", "link": None}]
    save = {
        "id": 902,
        "type": "SaveImage",
        "inputs": sockets,
        "outputs": [],
        "widgets_values": ["blueprint"],
    }
    models = {name: slot for slot, name in enumerate(("MODEL", "CLIP", "VAE"))}
    nodes, links = {node["id"]: node for node in [*subgraph["nodes"], load, save]}, []
    for link in subgraph["links"]:
        if link["origin_id"] == ENTRY and link["type"] in models:
            links.append({**link, "origin_id": 901, "origin_slot": models[link["type"]]})
        elif link["target_id"] == EXIT:
            sockets[0]["link"] = link["id"]
            links.append({**link, "target_id": 902, "target_slot": 0})
        elif link["origin_id"] == ENTRY:
            nodes[link["target_id"]]["inputs"][link["target_slot"]]["link"] = None
        else:
            links.append(link)
    return {"nodes": list(nodes.values()), "links": links}


def test_there_is_one():
    assert [file.stem for file in FILES] == ["Coupled Set"]


@each_blueprint
def test_the_host_serves_it(file, host_server):
    served = host_server.client.get("/global_subgraphs")
    (key,) = [key for key, entry in served.items() if entry["name"] == file.stem]
    assert served[key]["info"]["node_pack"] == "custom_nodes.coupled"
    assert host_server.client.get(f"/global_subgraphs/{key}")["data"] == file.read_text(
        encoding="utf-8"
    )


@each_blueprint
def test_its_sockets_and_its_node_are_the_same(file):
    node, subgraph = parts(file)
    for side in ("inputs", "outputs"):
        assert [(s["name"], s["type"]) for s in node[side]] == [
            (s["name"], s["type"]) for s in subgraph[side]
        ]
    sockets = [one["name"] for one in node["inputs"]]
    assert sockets[:4] == ["model", "clip", "vae", "prompts"] and len(set(sockets)) == len(sockets)
    assert [one["name"] for one in node["outputs"]] == ["images"]
    assert subgraph["name"] == node["title"] == file.stem and subgraph["description"]


@each_blueprint
def test_the_values_on_the_node_are_those_inside(file, host_server):
    node, subgraph = parts(file)
    shown = dict(
        zip(
            [i["name"] for i in node["inputs"] if "widget" in i],
            node["widgets_values"],
            strict=True,
        )
    )
    prompt = to_prompt(unpacked(file), host_server.client.object_info())
    inner = {n["id"]: n for n in subgraph["nodes"]}
    for link in subgraph["links"]:
        if (
            link["origin_id"] == ENTRY
            and (name := subgraph["inputs"][link["origin_slot"]]["name"]) in shown
        ):
            target = inner[link["target_id"]]["inputs"][link["target_slot"]]["name"]
            assert prompt[str(link["target_id"])]["inputs"][target] == shown.pop(name)
    assert not shown


@each_blueprint
def test_every_link_is_known_to_both_of_its_ends(file):
    _, subgraph = parts(file)
    ends = {
        (i["link"], n["id"], k)
        for n in subgraph["nodes"]
        for k, i in enumerate(n["inputs"])
        if i["link"] is not None
    }
    ends |= {
        (link, EXIT, k)
        for k, output in enumerate(subgraph["outputs"])
        for link in output["linkIds"]
    }
    starts = {
        (x, n["id"], k)
        for n in subgraph["nodes"]
        for k, o in enumerate(n["outputs"])
        for x in o["links"] or []
    }
    starts |= {
        (link, ENTRY, k) for k, entry in enumerate(subgraph["inputs"]) for link in entry["linkIds"]
    }
    assert ends == {(x["id"], x["target_id"], x["target_slot"]) for x in subgraph["links"]}
    assert starts == {(x["id"], x["origin_id"], x["origin_slot"]) for x in subgraph["links"]}


@each_blueprint
def test_it_makes_a_picture_for_every_prompt(file, host_server):
    prompt = to_prompt(unpacked(file), host_server.client.object_info())
    for node in prompt.values():
        node["inputs"] |= {name: value for name, value in SMALL.items() if name in node["inputs"]}
    (texts,) = [
        node["inputs"]["prompts"]
        for node in prompt.values()
        if node["class_type"] == "CoupledSplitPrompts"
    ]
    assert len(host_server.client.queue(prompt)["902"]["images"]) == len(texts.splitlines()) == 2
