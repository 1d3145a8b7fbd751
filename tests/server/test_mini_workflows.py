"""Every workflow of the mini model, as it is opened, run by the real server in a few steps."""

import io
import json

import numpy as np
import pytest
from PIL import Image

from coupled.devtools.workflow import to_prompt
from coupled.mini.size import SIZE

from paths import ROOT

# Learning takes minutes however few the steps are: test_server.py runs Optimize Theta by itself.
FILES = [
    file
    for file in sorted((ROOT / "example_workflows").glob("*_mini.json"))
    if file.stem != "coupled_optimize_mini"
]
STEPS = 4


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_it_runs_and_saves_its_pictures(host_server, file):
    client = host_server.client
    prompt = to_prompt(json.loads(file.read_text(encoding="utf-8")), client.object_info())
    for node in prompt.values():
        if isinstance(node["inputs"].get("steps"), int):
            node["inputs"]["steps"] = STEPS
        if node["class_type"] == "PrimitiveInt" and node["inputs"]["value"] == 30:  # the steps
            node["inputs"]["value"] = STEPS
    outputs = client.queue(prompt)
    pictures = 0
    for key, node in prompt.items():
        if node["class_type"] == "SaveImage":
            for entry in outputs[key]["images"]:
                picture = Image.open(io.BytesIO(client.file(entry)))
                assert picture.size == (SIZE, SIZE) and np.asarray(picture).std() > 1
                pictures += 1
    said = [found["text"] for found in outputs.values() if found.get("text")]
    assert pictures >= 2 or said  # one measures, and one keeps its pictures in a data set
