"""The subgraph blueprints, taken apart for tests."""

import json
from pathlib import Path

from paths import ROOT

FILES = sorted((ROOT / "subgraphs").glob("*.json"))
ENTRY, EXIT = -10, -20  # the ids of a subgraph's own input and output node


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
