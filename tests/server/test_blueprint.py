"""The subgraph blueprint, as the host serves it: whole, true to the nodes, and it runs."""

import pytest
from blueprint import FILES, parts, placed

from coupled.devtools.subgraphs import ENTRY, EXIT
from coupled.devtools.workflow import to_prompt

SMALL = {"width": 64, "height": 64, "steps": 2}

each_blueprint = pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)


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
    outputs = [one["name"] for one in node["outputs"]]
    assert outputs == ["images", "plate", "entity_masks", "prompts"]
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
    workflow = placed(file)
    workflow["nodes"][0]["inputs"] = [
        {key: value for key, value in one.items() if key != "widget"} for one in node["inputs"]
    ]  # so that it gives them nothing
    prompt = to_prompt(workflow, host_server.client.object_info())
    inner = {n["id"]: n for n in subgraph["nodes"]}
    for link in subgraph["links"]:
        if (
            link["origin_id"] == ENTRY
            and (name := subgraph["inputs"][link["origin_slot"]]["name"]) in shown
        ):
            target = inner[link["target_id"]]["inputs"][link["target_slot"]]["name"]
            assert prompt[f"{node['id']}:{link['target_id']}"]["inputs"][target] == shown.pop(name)
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
    prompt = to_prompt(placed(file), host_server.client.object_info())
    for node in prompt.values():
        node["inputs"] |= {name: value for name, value in SMALL.items() if name in node["inputs"]}
    (texts,) = [
        node["inputs"]["prompts"]
        for node in prompt.values()
        if node["class_type"] == "CoupledSplitPrompts"
    ]
    assert len(host_server.client.queue(prompt)["902"]["images"]) == len(texts.splitlines()) == 2
