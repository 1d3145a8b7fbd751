"""The shipped workflows, held against the running host: every node, input, link and value of
each, those in subgraphs too.
"""

import json
import re

import pytest

from coupled.devtools.subgraphs import ENTRY, EXIT, LINK, definitions
from coupled.devtools.workflow import NOTES, to_prompt
from coupled.mini.size import SIZE

from markers import NEWER_TEMPLATES
from paths import ROOT

FOLDER = ROOT / "example_workflows"
FILES = sorted(FOLDER.glob("*.json"))
CHAIN = FOLDER / "coupled_compare_mini.json"  # all nodes of a set, one by one
# Of the user's, and the picture that ComfyUI ships in its folder of inputs
GIVEN_FILES = (".safetensors", ".gguf", ".sft", "example.png")
# Until ComfyUI 0.26 these had no outputs. A page writes them into a workflow whether linked or not.
ENDS = ("SaveImage", "PreviewImage", "SaveVideo")
FOLDERS = r"/home/|/root/|/work|/tmp|[A-Za-z]:\\\\"
PRIVATE = re.compile(FOLDERS + r"|\bsk-\w{8}|\bhf_\w{8}|api_?key|password|://[^/\s\"]*@", re.I)


@pytest.fixture(scope="module")
def object_info(host_server):
    return host_server.client.object_info()


def inputs_of(declared: dict) -> dict:
    return {**(declared.get("required") or {}), **(declared.get("optional") or {})}


def base(name: str) -> str:
    """`images.image0` (autogrow) and `shape.center` (dynamic combo) belong to the input before the
    dot.
    """
    return name.split(".")[0]


def faults(workflow: dict, object_info: dict) -> list[str]:
    """Everything in a saved workflow that the host would not take."""
    subgraphs = definitions(workflow)
    graphs = [workflow, *map(as_workflow, subgraphs.values())]
    found = [fault for graph in graphs for fault in link_faults(graph)]
    for node in [node for graph in graphs for node in graph["nodes"]]:
        if (subgraph := subgraphs.get(node["type"])) is not None:
            found += socket_faults(node, subgraph)
        elif node["type"] not in (*NOTES, ENTRY, EXIT):
            found += node_faults(node, object_info)
    return found or value_faults(to_prompt(workflow, object_info), object_info)


def as_workflow(subgraph: dict) -> dict:
    """A subgraph as a workflow, with nodes for what enters and leaves."""
    entry = {
        "id": ENTRY,
        "type": ENTRY,
        "inputs": [],
        "outputs": [one | {"links": one["linkIds"]} for one in subgraph["inputs"]],
    }
    leave = {
        "id": EXIT,
        "type": EXIT,
        "inputs": [one | {"link": one["linkIds"][0]} for one in subgraph["outputs"]],
        "outputs": [],
    }
    links = [[link[part] for part in LINK] for link in subgraph["links"]]
    return {"nodes": [*subgraph["nodes"], entry, leave], "links": links}


def socket_faults(node: dict, subgraph: dict) -> list[str]:
    """Sockets of a node that are not those of the subgraph for which it stands."""
    return [
        f"{subgraph['name']} has other {side} than its node"
        for side in ("inputs", "outputs")
        if [(s["name"], s["type"]) for s in node[side]]
        != [(s["name"], s["type"]) for s in subgraph[side]]
    ]


def node_faults(node: dict, object_info: dict) -> list[str]:
    """An unknown type, unknown inputs, and outputs that are not the host's, by name, type and
    order.
    """
    kind, info = node["type"], object_info.get(node["type"])
    if info is None:
        return [f"unknown node {kind}"]
    known = inputs_of(info["input"])
    found = [
        f"{kind} has no input {i['name']}" for i in node["inputs"] if base(i["name"]) not in known
    ]
    outputs = list(zip(info["output_name"], info["output"], strict=True))
    written = [o for o in node["outputs"] if outputs or kind not in ENDS or o["links"]]
    if [(o["name"], o["type"]) for o in written] != outputs:
        found.append(f"{kind} has outputs {outputs}")
    return found


def link_faults(workflow: dict) -> list[str]:
    """Links that one of their ends does not know, ends that name no link, and types that do not
    fit.
    """
    nodes = {n["id"]: n for n in workflow["nodes"]}
    found, leave, enter = [], set(), set()
    for link, origin, out, target, into, kind in workflow["links"]:
        leave.add((link, origin, out))
        enter.add((link, target, into))
        source, socket = (
            nodes[origin]["outputs"][out]["type"],
            nodes[target]["inputs"][into]["type"],
        )
        if kind != source or (kind not in socket.split(",") and "*" not in (kind, socket)):
            found.append(f"link {link} carries {kind} from {source} into {socket}")
    outs = {
        (x, n["id"], i)
        for n in nodes.values()
        for i, o in enumerate(n["outputs"])
        for x in o["links"] or []
    }
    ins = {
        (i["link"], n["id"], k)
        for n in nodes.values()
        for k, i in enumerate(n["inputs"])
        if i["link"] is not None
    }
    found += [
        f"link {link} is not known to both of its ends"
        for link, *_ in (leave ^ outs) | (enter ^ ins)
    ]
    if len({link[0] for link in workflow["links"]}) != len(workflow["links"]):
        found.append("two links have one id")
    return found


def value_faults(prompt: dict, object_info: dict) -> list[str]:
    """Missing inputs, combo values that are no choice, numbers out of range."""
    found = []
    for node in prompt.values():
        kind, info = node["class_type"], object_info[node["class_type"]]["input"]
        given = {base(name) for name in node["inputs"]}
        found += [f"{kind} lacks {name}" for name in set(info.get("required") or {}) - given]
        for name, spec in specs_of(info, node["inputs"]):
            if (why := value_fault(node["inputs"].get(name), *spec)) is not None:
                found.append(f"{kind}.{name}: {why}")
    return found


def specs_of(declared: dict, values: dict, prefix: str = ""):
    """(name, spec) of all inputs, with those that the chosen option of a dynamic combo brings."""
    for name, spec in inputs_of(declared).items():
        yield prefix + name, spec
        if spec[0] == "COMFY_DYNAMICCOMBO_V3":
            for option in spec[1]["options"]:
                if option["key"] == values.get(prefix + name):
                    yield from specs_of(option["inputs"], values, f"{prefix}{name}.")


def value_fault(value, kind, options=None) -> str | None:
    """What is wrong with a widget's value; None when nothing is, and for linked and absent inputs
    and model files.
    """
    options = options or {}
    choices = (
        kind if isinstance(kind, list) else options.get("options", []) if kind == "COMBO" else None
    )
    if value is None or isinstance(value, list) or str(value).endswith(GIVEN_FILES):
        return None
    if choices is not None:
        return None if value in choices else f"{value!r} is no choice"
    if kind == "STRING":
        return None if isinstance(value, str) else f"{value!r} is no text"
    if kind in ("INT", "FLOAT"):
        if isinstance(value, bool) or not isinstance(value, int if kind == "INT" else int | float):
            return f"{value!r} is no {kind}"
        if not options.get("min", value) <= value <= options.get("max", value):
            return f"{value} is out of range"
    return None


NEWER = NEWER_TEMPLATES | {
    f"coupled_first_last_frame_{model}": pytest.mark.needs_host("0.26", "bit_depth of Create Video")
    for model in ("wan", "ltx")
}


@pytest.mark.parametrize(
    "file", [pytest.param(file, id=file.stem, marks=NEWER.get(file.stem, ())) for file in FILES]
)
def test_the_host_takes_it(file, object_info):
    assert faults(json.loads(file.read_text()), object_info) == []


@pytest.mark.parametrize("file", FILES, ids=lambda f: f.stem)
def test_nothing_private_is_in_it(file):
    assert PRIVATE.findall(file.read_text()) == []


BROKEN = {
    "unknown node": lambda nodes, w: nodes["CoupledSampler"].update(type="CoupledSamplerX"),
    "has no input modell": (
        lambda nodes, w: nodes["CoupledSampler"]["inputs"][0].update(name="modell")
    ),
    "has outputs": lambda nodes, w: nodes["CoupledSplitPrompts"]["outputs"].reverse(),
    "both of its ends": lambda nodes, w: nodes["CoupledSampler"]["inputs"][0].update(link=None),
    "99 is not known to both": (
        lambda nodes, w: nodes["VAEDecode"]["outputs"][0]["links"].append(99)
    ),
    "carries VIDEO": lambda nodes, w: w["links"][0].__setitem__(5, "VIDEO"),
    "one id": lambda nodes, w: w["links"].append(w["links"][0]),
    "mode: 'inexact' is no choice": (
        lambda nodes, w: nodes["CoupledModelPatch"].update(widgets_values=["inexact"])
    ),
    "batch_size: 0 is out": (
        lambda nodes, w: nodes["EmptySD3LatentImage"].update(widgets_values=[SIZE, SIZE, 0])
    ),
    "shape.k: 'x' is no FLOAT": (
        lambda nodes, w: nodes["CoupledThetaSchedule"]["widgets_values"].__setitem__(2, "x")
    ),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_the_check_finds(fault, object_info):
    workflow = json.loads(CHAIN.read_text())
    BROKEN[fault]({n["type"]: n for n in workflow["nodes"]}, workflow)
    assert any(fault in found for found in faults(workflow, object_info))


def test_the_check_finds_a_required_input_without_a_link(object_info):
    workflow = json.loads(CHAIN.read_text())
    prompt = to_prompt(workflow, object_info)
    sampler = next(node for node in prompt.values() if node["class_type"] == "CoupledSampler")
    del sampler["inputs"]["latent_image"]
    assert value_faults(prompt, object_info) == ["CoupledSampler lacks latent_image"]


@pytest.mark.parametrize(
    "text", ["/home/me/x", "C:\\\\Users", "sk-abcdefgh12", "hf_abcdefgh12", "http://me:pw@host/"]
)
def test_the_check_finds_what_is_private(text):
    assert PRIVATE.search(json.dumps({"widgets_values": [text]}))
