"""A saved picture: what it carries makes it again, exactly, and holds nothing private."""

import io
import json
import re

import numpy as np
import pytest
from PIL import Image

from coupled.devtools.workflow import to_prompt

from paths import ROOT

WORKFLOW = ROOT / "example_workflows" / "coupled_mini.json"
SECRET = re.compile(r"key|token|secret|password|credential", re.I)
MACHINE = re.compile(r"/home/|/root/|/tmp/|/work|[A-Za-z]:\\\\|\bsk-\w{8}|\bhf_\w{8}")

ANOTHER = {
    "1": {
        "class_type": "EmptyImage",
        "inputs": {"width": 16, "height": 16, "batch_size": 1, "color": 0},
    },
    "2": {"class_type": "PreviewImage", "inputs": {"images": ["1", 0]}},
}


@pytest.fixture(scope="module")
def prompt(host_server) -> dict:
    """The mini workflow with two steps."""
    prompt = to_prompt(json.loads(WORKFLOW.read_text()), host_server.client.object_info())
    for node in prompt.values():
        if "sampler_name" in node["inputs"]:
            node["inputs"]["steps"] = 2
    return prompt


def made(client, prompt: dict) -> list[Image.Image]:
    """The coupled pictures of a run that starts from nothing: the host forgets its results
    first.
    """
    client.post("/free", {"unload_models": True, "free_memory": True})
    client.queue(ANOTHER)  # the host forgets before or after a run, never during one
    reused = []
    outputs = client.queue(
        prompt, lambda event, data: event == "execution_cached" and reused.extend(data["nodes"])
    )
    (node,) = [
        key for key, node in prompt.items() if node["inputs"].get("filename_prefix") == "coupled"
    ]
    assert not reused
    return [Image.open(io.BytesIO(client.file(entry))) for entry in outputs[node]["images"]]


def test_what_a_picture_carries_makes_it_again_and_tells_nothing_else(host_server, prompt):
    first = made(host_server.client, prompt)
    for picture in first:
        assert set(picture.text) == {"prompt"} and json.loads(picture.text["prompt"]) == prompt
        assert not MACHINE.search(picture.text["prompt"])
    again = made(host_server.client, json.loads(first[0].text["prompt"]))
    assert [np.array_equal(a, b) for a, b in zip(first, again, strict=True)] == [True, True]


def test_no_node_asks_for_a_secret(host_server):
    """What is typed into a widget is saved into every picture."""
    info = {
        name: node
        for name, node in host_server.client.object_info().items()
        if name.startswith("Coupled")
    }
    assert (
        info
        and [name for node in info.values() for name in names(node["input"]) if SECRET.search(name)]
        == []
    )


def names(declared: dict) -> list[str]:
    """The names of all inputs, with those inside dynamic combos."""
    found = []
    for specs in declared.values():
        for name, (_, *rest) in specs.items():
            choices = (rest[0] if rest else {}).get("options") or []
            found += [
                name,
                *(
                    inner
                    for choice in choices
                    if isinstance(choice, dict)
                    for inner in names(choice["inputs"])
                ),
            ]
    return found
