"""Saved workflows with subgraphs: a node that stands for others, and the others in its place.

In a subgraph, links begin at a node of its own for what enters, and end at one for what leaves.
"""

from __future__ import annotations

import copy

ENTRY, EXIT = -10, -20  # the ids of those two nodes
LINK = ("id", "origin_id", "origin_slot", "target_id", "target_slot", "type")


def unpack(workflow: dict) -> dict:
    """The workflow with the nodes of each subgraph in the place of the node that stands for it.

    Inner nodes are named `outer:inner`; the page does so too, but counts its inner nodes anew.
    Values that the outer node carries for one stand in its `given`, {input: value}.
    """
    found = definitions(workflow)
    nodes, links = copy.deepcopy(workflow["nodes"]), [name_parts(x) for x in workflow["links"]]
    if not found:
        return {**workflow, "nodes": nodes, "links": links}
    while outer := next((node for node in nodes if node["type"] in found), None):
        inner = rename(copy.deepcopy(found[outer["type"]]), outer["id"])
        for node in inner["nodes"]:
            node["mode"] = outer.get("mode") or node.get("mode", 0)
        give_values(outer, inner)
        links = join(outer, inner["links"], links)
        nodes = [node for node in nodes if node is not outer] + inner["nodes"]
    return {**workflow, "nodes": nodes, "links": relink(nodes, links), "definitions": {}}


def definitions(workflow: dict) -> dict[str, dict]:
    """{type of the node that stands for it: subgraph}"""
    return {one["id"]: one for one in workflow.get("definitions", {}).get("subgraphs", [])}


def name_parts(link: list | dict) -> dict:
    """A link by names, in whichever of its two forms the page saved it."""
    return dict(link) if isinstance(link, dict) else dict(zip(LINK, link, strict=True))


def rename(subgraph: dict, outer: int | str) -> dict:
    """The subgraph with its nodes named as those of one node that stands for it."""
    subgraph["links"] = [name_parts(link) for link in subgraph["links"]]
    for node in subgraph["nodes"]:
        node["id"] = f"{outer}:{node['id']}"
    for link in subgraph["links"]:
        for end in ("origin_id", "target_id"):
            if link[end] not in (ENTRY, EXIT):
                link[end] = f"{outer}:{link[end]}"
    return subgraph


def give_values(outer: dict, inner: dict) -> None:
    """Puts the values of the outer node's widgets into the inner nodes that ask for them."""
    given = outer.get("given", {})
    saved = iter(outer.get("widgets_values") or [])
    values = {
        slot: given.get(socket["name"], value)
        for slot, socket in enumerate(outer["inputs"])
        if "widget" in socket and (value := next(saved, None)) is not None
    }
    nodes = {node["id"]: node for node in inner["nodes"]}
    for link in inner["links"]:
        if link["origin_id"] == ENTRY and link["origin_slot"] in values:
            target = nodes[link["target_id"]]
            name = target["inputs"][link["target_slot"]]["name"]
            target.setdefault("given", {})[name] = values[link["origin_slot"]]


def join(outer: dict, inner: list[dict], links: list[dict]) -> list[dict]:
    """The links of both, past the outer node."""
    name, joined = outer["id"], []
    for link in inner:
        start, end = (
            {key: link[key] for key in (f"{side}_id", f"{side}_slot")}
            for side in ("origin", "target")
        )
        if link["origin_id"] == ENTRY:
            slot = (name, link["origin_slot"])
            joined += [x | end for x in links if (x["target_id"], x["target_slot"]) == slot]
        elif link["target_id"] == EXIT:
            slot = (name, link["target_slot"])
            joined += [x | start for x in links if (x["origin_id"], x["origin_slot"]) == slot]
        else:
            joined.append(link)
    return joined + [x for x in links if name not in (x["origin_id"], x["target_id"])]


def relink(nodes: list[dict], links: list[dict]) -> list[dict]:
    """The links, numbered from 1; the nodes' inputs name them."""
    links = [link | {"id": number} for number, link in enumerate(links, 1)]
    sockets = {node["id"]: node.get("inputs", []) for node in nodes}
    for socket in [socket for inputs in sockets.values() for socket in inputs]:
        socket["link"] = None
    for link in links:
        sockets[link["target_id"]][link["target_slot"]]["link"] = link["id"]
    return links
