"""The mini workflow, run by the real server from the file that users open."""

import io
import json
from pathlib import Path

import numpy as np
from PIL import Image

from coupled.devtools.demo import WORKFLOW
from coupled.devtools.sheet import contact_sheet
from coupled.devtools.workflow import to_prompt
from coupled.mini.size import SIZE


def test_the_mini_workflow_paints_a_coupled_set_and_a_same_seed_pair(host_server, tmp_path):
    client = host_server.client
    prompt = to_prompt(json.loads(Path(WORKFLOW).read_text()), client.object_info())
    outputs = client.queue(prompt)
    pictures = {
        prompt[node]["inputs"]["filename_prefix"]: [
            Image.open(io.BytesIO(client.file(i))) for i in found["images"]
        ]
        for node, found in outputs.items()
        if prompt[node]["class_type"] == "SaveImage"
    }
    assert {name: [p.size for p in found] for name, found in pictures.items()} == {
        "coupled": [(SIZE, SIZE)] * 2,
        "same_seed": [(SIZE, SIZE)] * 2,
    }
    for picture in [p for found in pictures.values() for p in found]:
        assert np.asarray(picture.convert("L")).std() > 10, (
            "a flat picture: latents of NaN decode to one"
        )
    assert equal_share(pictures["coupled"]) > 0.3 and equal_share(pictures["same_seed"]) < 0.1
    rows = [(name, found) for name, found in pictures.items()]
    assert (
        contact_sheet(rows, ["a penguin", "a car"], tmp_path / "sheet.png").stat().st_size > 10_000
    )
    plots = [
        found for node, found in outputs.items() if prompt[node]["class_type"] == "CoupledThetaPlot"
    ]
    assert plots and plots[0]["images"]


def equal_share(pictures: list[Image.Image]) -> float:
    """The share of the pixels that two pictures have in common."""
    a, b = (np.asarray(p.convert("RGB")) for p in pictures)
    return float((a == b).all(-1).mean())


def test_a_picture_carries_the_workflow_that_made_it(host_server):
    client = host_server.client
    prompt = to_prompt(json.loads(Path(WORKFLOW).read_text()), client.object_info())
    for node in prompt.values():
        if "steps" in node["inputs"] and node["class_type"] != "CoupledThetaPlot":
            node["inputs"]["steps"] = 2
    outputs = client.queue(prompt)
    image = next(
        f["images"][0] for node, f in outputs.items() if prompt[node]["class_type"] == "SaveImage"
    )
    saved = json.loads(Image.open(io.BytesIO(client.file(image))).text["prompt"])
    assert {n["class_type"] for n in saved.values()} == {n["class_type"] for n in prompt.values()}
