"""The shipped workflows, held against the running host: every node, input, link and value of each."""

import copy
import json
from pathlib import Path

import pytest
from coupled.devtools.workflow import NOTES, to_prompt

FOLDER = Path(__file__).parent.parent / "example_workflows"
FILES = sorted(FOLDER.glob("*.json"))
MODEL_FILES = (".safetensors", ".gguf", ".sft")


@pytest.fixture(scope="module")
def object_info(host_server):
    return host_server.client.object_info()


def inputs_of(info: dict) -> dict:
    return {**info["input"].get("required", {}), **info["input"].get("optional", {})}


def base(name: str) -> str:
    """`images.image0` (autogrow) and `shape.center` (dynamic combo) belong to the input before the dot."""
    return name.split(".")[0]


def faults(workflow: dict, object_info: dict) -> list[str]:
    """Everything in a saved workflow that the host would not take."""
    found = link_faults(workflow)
    for node in workflow["nodes"]:
        if node["type"] in NOTES:
            continue
        if node["type"] not in object_info:
            found.append(f"unknown node {node['type']}")
            continue
        known = inputs_of(object_info[node["type"]])
        found += [f"{node['type']} has no input {i['name']}" for i in node["inputs"] if base(i["name"]) not in known]
        outputs = object_info[node["type"]]["output_name"]
        if [o["name"] for o in node["outputs"]] != outputs[: len(node["outputs"])]:
            found.append(f"{node['type']} has outputs {outputs}")
    return found or value_faults(to_prompt(workflow, object_info), object_info)


def link_faults(workflow: dict) -> list[str]:
    nodes = {n["id"]: n for n in workflow["nodes"]}
    found = []
    for link, origin, out, target, into, kind in workflow["links"]:
        source, socket = nodes[origin]["outputs"][out], nodes[target]["inputs"][into]
        if link not in (source["links"] or []) or socket["link"] != link:
            found.append(f"link {link} is not known to both of its ends")
        if kind not in socket["type"].split(",") and "*" not in (kind, socket["type"]):
            found.append(f"link {link} carries {kind} into {socket['type']}")
    return found


def value_faults(prompt: dict, object_info: dict) -> list[str]:
    """Missing inputs, combo values that are no choice, numbers out of range."""
    found = []
    for node in prompt.values():
        info = object_info[node["class_type"]]
        given = {base(name) for name in node["inputs"]}
        missing = set(info["input"].get("required", {})) - given
        found += [f"{node['class_type']} lacks {name}" for name in missing]
        for name, (kind, *rest) in inputs_of(info).items():
            value, options = node["inputs"].get(name), rest[0] if rest else {}
            choices = kind if isinstance(kind, list) else options.get("options", []) if kind == "COMBO" else None
            if choices is not None and isinstance(value, str) and not value.endswith(MODEL_FILES):
                found += [] if value in choices else [f"{node['class_type']}.{name}: {value!r} is no choice"]
            if kind in ("INT", "FLOAT") and not isinstance(value, list | None):
                low, high = options.get("min", value), options.get("max", value)
                found += [] if low <= value <= high else [f"{node['class_type']}.{name}: {value} is out of range"]
    return found


@pytest.mark.parametrize("file", FILES, ids=lambda f: f.stem)
def test_the_host_takes_it(file, object_info):
    assert faults(json.loads(file.read_text()), object_info) == []


def test_all_three_are_there():
    assert {f.stem for f in FILES} >= {"coupled_mini", "coupled_flux_dev", "coupled_first_last_frame_wan"}


@pytest.mark.parametrize("file", FILES, ids=lambda f: f.stem)
def test_it_reads_well(file):
    """Nodes do not overlap, links run to the right or down, and there is a note for the reader."""
    nodes = [n for n in json.loads(file.read_text())["nodes"]]
    assert any(n["type"] in NOTES for n in nodes)
    boxes = [(n["pos"][0], n["pos"][1] - 30, n["pos"][0] + n["size"][0], n["pos"][1] + n["size"][1]) for n in nodes]
    for i, a in enumerate(boxes):
        for j, b in enumerate(boxes[:i]):
            apart = a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]
            assert apart, f"{nodes[i]['type']} lies over {nodes[j]['type']}"


@pytest.mark.parametrize("file", FILES, ids=lambda f: f.stem)
def test_nothing_private_is_in_it(file):
    text = file.read_text()
    assert not any(word in text for word in ("/home/", "/root/", "/work", "C:\\\\", "sk-", "api_key"))


def test_the_check_finds_faults(object_info):
    good = json.loads((FOLDER / "coupled_mini.json").read_text())

    def broken(change) -> list[str]:
        workflow = copy.deepcopy(good)
        change({n["type"]: n for n in workflow["nodes"]}, workflow)
        return faults(workflow, object_info)

    assert broken(lambda nodes, w: nodes["CoupledSampler"].update(type="CoupledSamplerX"))
    assert broken(lambda nodes, w: nodes["CoupledSampler"]["inputs"][0].update(name="modell"))
    assert broken(lambda nodes, w: nodes["CoupledSampler"]["inputs"][0].update(link=None))
    assert broken(lambda nodes, w: w["links"][0].__setitem__(5, "VIDEO"))
    assert broken(lambda nodes, w: nodes["CoupledModelPatch"].update(widgets_values=["inexact"]))
    assert broken(lambda nodes, w: nodes["EmptySD3LatentImage"].update(widgets_values=[128, 128, 0]))
