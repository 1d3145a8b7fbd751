"""The pack inside a running host, seen through its HTTP and WebSocket interface."""

import importlib
import io
import json
import re

import pytest
from PIL import Image

from coupled.devtools.client import ExecutionFailed, Interrupted, PromptRejected
from coupled.devtools.workflow import to_prompt

from paths import ROOT

PAGE = json.loads((ROOT / "tests/data/page_workflow.json").read_text())
PICTURE = {
    "1": {
        "class_type": "EmptyImage",
        "inputs": {"width": 48, "height": 32, "batch_size": 2, "color": 255},
    },
    "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "blue"}},
}


@pytest.fixture(scope="session")
def info(host_server) -> dict:
    return host_server.client.object_info()


@pytest.fixture(scope="session")
def ours(info) -> dict:
    return {
        name: node for name, node in info.items() if node["python_module"] == "custom_nodes.coupled"
    }


@pytest.fixture(scope="session")
def schemas() -> dict:
    """{node id: schema} of every class in a `NODES` list of the pack's files."""
    files = [file.stem for file in (ROOT / "nodes").glob("*.py") if file.stem != "__init__"]
    modules = [importlib.import_module(f"coupled.nodes.{name}") for name in files]
    found = [cls.define_schema() for module in modules for cls in getattr(module, "NODES", [])]
    return {schema.node_id: schema for schema in found}


def inputs_of(declared: dict, prefix: str = ""):
    """(name, options) of every input, with those inside dynamic combos."""
    for group in ("required", "optional"):
        for name, (_, *rest) in declared.get(group, {}).items():
            options = rest[0] if rest else {}
            yield prefix + name, options
            for choice in options.get("options") or []:
                if isinstance(choice, dict):
                    yield from inputs_of(choice["inputs"], f"{prefix}{name}={choice['key']}.")


def test_pack_loads_without_a_word_of_error(host_server):
    # Other tests may have made the same server say an error of a prompt before.
    start = host_server.log.partition("got prompt")[0]
    times = re.findall(r"([\d.]+) seconds(.*): \S*custom_nodes/coupled$", start, re.MULTILINE)
    assert len(times) == 1, host_server.tail(60)
    seconds, failed = times[0]
    assert not failed and float(seconds) < 3
    assert not re.findall(
        r".*(?:\[ERROR\]|\[CRITICAL\]|Traceback|IMPORT FAILED|Cannot import).*", start
    )


def test_every_node_of_the_pack_is_registered(ours, schemas):
    assert schemas and set(schemas) == set(ours)


def test_every_node_is_described(ours):
    for name, node in ours.items():
        assert name.startswith("Coupled"), name
        assert node["category"].startswith("coupled/"), name
        assert node["display_name"] and node["description"] and node["search_aliases"], name


def test_every_input_has_a_tooltip_and_every_output_a_name(ours, schemas):
    bare = [
        f"{name}: {key}"
        for name, node in ours.items()
        for key, options in inputs_of(node["input"])
        if not options.get("tooltip")
    ]
    unnamed = [
        name
        for name, schema in schemas.items()
        if not all(output.display_name for output in schema.outputs)
    ]
    assert not bare and not unnamed


def test_queue_returns_outputs_and_events(host_server):
    heard = []
    outputs = host_server.client.queue(PICTURE, lambda event, data: heard.append(event))
    entries = outputs["2"]["images"]
    picture = Image.open(io.BytesIO(host_server.client.file(entries[0])))
    assert (
        len(entries) == 2 and picture.size == (48, 32) and picture.getpixel((0, 0)) == (0, 0, 255)
    )
    assert (
        heard.index("execution_start") < heard.index("executing") < heard.index("execution_success")
    )


def test_a_rejected_prompt_names_the_node_and_the_input(host_server):
    wrong = PICTURE | {
        "1": {"class_type": "EmptyImage", "inputs": PICTURE["1"]["inputs"] | {"width": "wide"}}
    }
    with pytest.raises(PromptRejected, match=r"node 1 \(EmptyImage\).*\n?.*width") as caught:
        host_server.client.queue(wrong)
    assert caught.value.node_errors["1"]["errors"][0]["extra_info"]["input_name"] == "width"


def test_a_failing_node_is_named_with_its_error(host_server):
    quotient = {
        "class_type": "ComfyMathExpression",
        "inputs": {"expression": "a / 0", "values.a": 1},
    }
    prompt = {"1": quotient, "2": {"class_type": "PreviewAny", "inputs": {"source": ["1", 0]}}}
    with pytest.raises(ExecutionFailed) as caught:
        host_server.client.queue(prompt)
    assert caught.value.node_id == "1" and "ZeroDivision" in caught.value.exception_type


def test_the_hosts_loaders_of_loras_list_the_mini_models(info):
    names = info["LoraLoaderModelOnly"]["input"]["required"]["lora_name"]
    assert "mini_turbo.safetensors" in str(names)


@pytest.mark.needs_host("0.26", "Save Audio (Advanced), which 0.24.0 has and 0.24.1 has not")
def test_workflow_becomes_the_prompt_that_the_page_makes_of_it(info):
    assert to_prompt(PAGE["workflow"], info) == PAGE["prompt"]


def test_optimize_theta_says_on_its_node_what_it_does_and_what_an_interruption_kept(host_server):
    """The texts that the server sends to the node, from before the first set on."""
    said, client = [], host_server.client

    def listen(event, data):
        packet = data.get("bytes", b"")
        if b"Schedule" in packet or b"Interrupted" in packet:
            said.append(packet[8:].decode()[1:])  # after its kind, a length and the node's id, "3"
            if "Schedule 2 of" in said[-1]:
                client.interrupt()

    inputs = {
        **{"model": ["1", 0], "clip": ["1", 1], "vae": ["1", 2], "latent_image": ["2", 0]},
        **{"prompt_sets": "A cat sits in a meadow.\nA horse runs in a meadow."},
        **{"segmenter": "mini", "clip_model": "mini", "budget": 5, "minutes": 0.0, "coarse": 1.0},
        **{"weights": "stated", "max_lost": 0.25, "study": "said", "seed": 1, "seeds_per_set": 1},
        **{"steps": 4, "sampler_name": "euler", "scheduler": "simple", "guidance": 3.5},
        **{"mode": "exact", "entity_text": "entity"},
    }
    empty = {"width": 128, "height": 128, "batch_size": 1}
    prompt = {
        "1": {"class_type": "CoupledLoadMini", "inputs": {}},
        "2": {"class_type": "EmptyLatentImage", "inputs": empty},
        "3": {"class_type": "CoupledOptimizeTheta", "inputs": inputs},
    }
    with pytest.raises(Interrupted):
        client.queue(prompt, listen)
    assert said[0] == "Schedule 1 of 15. Set 1 of 1."
    assert "Best so far: score" in said[-2]
    assert said[-1].startswith("Interrupted. The best of ") and "is saved: " in said[-1]
