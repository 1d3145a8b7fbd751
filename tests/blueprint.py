"""The subgraph blueprints, taken apart for tests."""

import json
from pathlib import Path

from paths import ROOT

FILES = sorted((ROOT / "subgraphs").glob("*.json"))


def parts(file: Path) -> tuple[dict, dict]:
    """(the one node, the subgraph that it stands for)"""
    workflow = json.loads(file.read_text(encoding="utf-8"))
    (node,), (subgraph,) = workflow["nodes"], workflow["definitions"]["subgraphs"]
    assert node["type"] == subgraph["id"] and workflow["links"] == []
    return node, subgraph


def placed(file: Path) -> dict:
    """The one node in a workflow, with the mini model before and Save Image after it."""
    workflow = json.loads(file.read_text(encoding="utf-8"))
    (node,) = workflow["nodes"]
    load = {"id": 901, "type": "CoupledLoadMini", "inputs": [], "outputs": []}
    save = {
        "id": 902,
        "type": "SaveImage",
        "inputs": [{"name": "images", "type": "IMAGE", "link": None}],
        "outputs": [],
        "widgets_values": ["blueprint"],
    }
    links = [[slot, 901, slot, node["id"], slot, "*"] for slot in range(3)]
    links.append([3, node["id"], 0, 902, 0, "IMAGE"])
    return {**workflow, "nodes": [node, load, save], "links": links}
