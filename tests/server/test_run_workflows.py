"""The workflows of large models, run as they are in a real server: only their files are too large,
so a small random model of the host's own classes stands in for them.
"""

import itertools
import json
import sys
from pathlib import Path

import av
import comfy.samplers
import numpy as np
import pytest
import torch
from blueprint import FILES, placed
from comfy_extras.nodes_flux import Flux2Scheduler
from comfy_extras.nodes_model_advanced import ModelSamplingFlux
from PIL import Image, ImageChops, ImageStat
from tiny_families import FLUX2
from tiny_loader import Middle
from tiny_open_clip import NAME, save_tiny_clip

from coupled.devtools.client import Client
from coupled.devtools.environment import Environment
from coupled.devtools.host import PACK, HostServer
from coupled.devtools.workflow import to_prompt
from coupled.metrics.alignment import text_alignment
from coupled.metrics.background import background_similarity
from coupled.metrics.clip import load_open_clip

from markers import NEWER_TEMPLATES
from paths import HOST, ROOT, TESTS

FAMILIES = {
    "coupled_flux_dev": "Flux.1",
    "coupled_photo_flux_dev": "Flux.1",
    "coupled_measure_flux_dev": "Flux.1",
    "coupled_flux2_klein": "Flux.2",
    "coupled_qwen_image": "Qwen-Image",
    "coupled_chroma": "Chroma",
    "coupled_z_image_turbo": "Z-Image",
    "coupled_krea2_turbo": "Krea 2",
    "coupled_sd35": "Stable Diffusion 3.5",
    "coupled_sdxl": "SDXL",
}
FILMS = {"coupled_first_last_frame_wan": "Wan", "coupled_first_last_frame_ltx": "LTX-Video"}
FLUX_FILES = ("flux1-dev.safetensors", "clip_l.safetensors", "ae.safetensors")
LOADERS = {
    "UNETLoader": (0,),
    "CLIPLoader": (1,),
    "DualCLIPLoader": (1,),
    "VAELoader": (2,),
    "CLIPVisionLoader": (3,),
    "CheckpointLoaderSimple": (0, 1, 2),
    "CoupledLoadMini": (0, 1, 2),
}
(BLUEPRINT,) = FILES
SMALL = {"width": 256, "height": 192}
FRAMES = 9
SIZES = {**SMALL, "length": FRAMES, "megapixels": 256 * 192 / 1024**2}
CLIP = {"clip_model.model": NAME, "clip_model.weights": "tiny.safetensors"}
REMOVAL = {"class_type": "TinyBackgroundRemoval", "inputs": {}}
STEPS = 6
EXTRA = "coupled_tiny"


@pytest.fixture(scope="module")
def tiny_server(tmp_path_factory):
    """A server with this pack and one that has the nodes of tiny_loader; a photo, and a CLIP."""
    base = tmp_path_factory.mktemp("tiny")
    pack = base / "custom_nodes" / EXTRA
    pack.mkdir(parents=True)
    clips = base / "models" / "open_clip"
    clips.mkdir(parents=True)
    config = save_tiny_clip(clips).with_name(f"{NAME}.json")
    lines = (
        f"import sys\n\nimport open_clip\n\nsys.path.insert(0, {str(TESTS)!r})\n"
        f"open_clip.add_model_config({str(config)!r})\n"
        "from tiny_loader import NODE_CLASS_MAPPINGS\n"
    )
    (pack / "__init__.py").write_text(lines)
    photo = base / "input" / "example.png"
    photo.parent.mkdir()
    Image.effect_mandelbrot((320, 240), (-2, -1.5, 1, 1.5), 50).save(photo)
    environment = Environment(Path(sys.executable), HOST)
    flags = ("--cpu", "--disable-api-nodes", "--whitelist-custom-nodes", PACK, EXTRA)
    with HostServer(environment, base, *flags) as server:
        server.client = Client(server.url)
        yield server


def small(prompt: dict, family: str, film: str = "") -> dict:
    """The prompt with small sizes, and TinyLoader where it loads files: TinyFilmLoader, if it has a
    film, for all but Flux's.
    """
    loaders = {key: node for key, node in prompt.items() if node["class_type"] in LOADERS}
    small = {"tiny": {"class_type": "TinyLoader", "inputs": {"family": family}}}
    if film:
        small["film"] = {"class_type": "TinyFilmLoader", "inputs": {"name": film}}

    def loaded(value):
        """What an input is linked with now."""
        if not isinstance(value, list) or value[0] not in loaders:
            return value
        loader = loaders[value[0]]
        of_film = film and next(iter(loader["inputs"].values())) not in FLUX_FILES
        return ["film" if of_film else "tiny", LOADERS[loader["class_type"]][value[1]]]

    for key, node in prompt.items():
        if key in loaders:
            continue
        if node["class_type"] == "LoadBackgroundRemovalModel":
            small[key] = REMOVAL
            continue
        inputs = {name: loaded(value) for name, value in node["inputs"].items()}
        inputs |= {name: value for name, value in {**SIZES, **CLIP}.items() if name in inputs}
        if "steps" in inputs:
            inputs["steps"] = min(STEPS, inputs["steps"])
        small[key] = {**node, "inputs": inputs}
    return small


def test_every_workflow_of_large_files_is_here():
    """Those of Mini Flux need no other files."""
    files = {file.stem for file in (ROOT / "example_workflows").glob("*.json")}
    assert {*FAMILIES, *FILMS} == {name for name in files if not name.endswith("_mini")}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=NEWER_TEMPLATES.get(name, ())) for name in FAMILIES]
)
def test_it_runs_and_saves_a_picture_for_each_prompt(tiny_server, name):
    prompt = small(prompt_of(tiny_server, name), FAMILIES[name])
    (lines,) = [node["inputs"]["prompts"] for node in of_type(prompt, "CoupledSplitPrompts")]
    check_pictures(run(tiny_server, prompt), len(lines.splitlines()))


@NEWER_TEMPLATES["coupled_measure_flux_dev"]
def test_its_score_is_that_of_the_pictures_it_saves(tiny_server):
    prompt = small(prompt_of(tiny_server, "coupled_measure_flux_dev"), "Flux.1")
    outputs = tiny_server.client.queue(prompt)
    files = files_of(tiny_server, prompt, outputs, "SaveImage")
    images_NHWC = torch.stack([torch.tensor(np.array(Image.open(file))) / 255 for file in files])
    (lines,) = [node["inputs"]["prompts"] for node in of_type(prompt, "CoupledSplitPrompts")]
    clip = load_open_clip(NAME, tiny_server.base / "models" / "open_clip" / "tiny.safetensors")
    scores = text_alignment(clip, images_NHWC, lines.splitlines())
    masks_NHW = Middle().encode_image(images_NHWC)
    f_bg = background_similarity(images_NHWC, masks_NHW).f_bg
    (text,) = [
        output["text"][0]
        for key, output in outputs.items()
        if prompt[key]["class_type"] == "CoupledScore"
    ]
    background, alignment = (float(line.split(" · ")[1]) for line in text.splitlines()[1:])
    assert f_bg < 0 < min(scores)
    assert background == pytest.approx(f_bg, rel=1e-2)  # the files have whole bytes
    assert alignment == pytest.approx(sum(scores) / len(scores), abs=0.1)


@pytest.mark.needs_host("0.26", "bit_depth of Create Video")
@pytest.mark.parametrize("name", FILMS)
def test_it_films_between_its_two_pictures(tiny_server, name):
    prompt = small(prompt_of(tiny_server, name), "Flux.1", FILMS[name])
    outputs = tiny_server.client.queue(prompt)
    (file,) = files_of(tiny_server, prompt, outputs, "SaveVideo")
    with av.open(str(file)) as film:
        frames = [frame.to_ndarray(format="rgb24") for frame in film.decode(video=0)]
        (rate,) = {stream.average_rate for stream in film.streams.video}
    assert rate == of_type(prompt, "CreateVideo")[0]["inputs"]["fps"]
    assert {frame.shape for frame in frames} == {(SMALL["height"], SMALL["width"], 3)}
    assert len(frames) == FRAMES
    assert all(frame.std() > 1 for frame in frames) and (frames[0] != frames[-1]).any()


@pytest.mark.parametrize("family", dict.fromkeys(FAMILIES.values()))
def test_the_blueprint_serves_the_family(tiny_server, family):
    prompt = to_prompt(placed(BLUEPRINT), tiny_server.client.object_info())
    check_pictures(run(tiny_server, small(prompt, family)))


def prompt_of(server, name: str) -> dict:
    """A template's, as the server gets it."""
    workflow = json.loads((ROOT / "example_workflows" / f"{name}.json").read_text("utf-8"))
    return to_prompt(workflow, server.client.object_info())


def run(server, prompt: dict) -> list[Image.Image]:
    """The pictures that a prompt saves."""
    files = files_of(server, prompt, server.client.queue(prompt), "SaveImage")
    return [Image.open(file).convert("RGB") for file in files]


def files_of(server, prompt: dict, outputs: dict, kind: str) -> list[Path]:
    """Those that the one node of a class has saved."""
    (save,) = [key for key, node in prompt.items() if node["class_type"] == kind]
    saved = outputs[save]["images"]
    return [server.base / "output" / one["subfolder"] / one["filename"] for one in saved]


def of_type(prompt: dict, kind: str) -> list[dict]:
    """Its nodes of one class."""
    return [node for node in prompt.values() if node["class_type"] == kind]


def check_pictures(pictures: list[Image.Image], count: int = 2) -> None:
    """So many, of the size asked for, not alike and not blank."""
    assert [picture.size for picture in pictures] == [(SMALL["width"], SMALL["height"])] * count
    for one, other in itertools.pairwise(pictures):
        assert max(high for _, high in ImageChops.difference(one, other).getextrema()) > 0
    assert all(max(ImageStat.Stat(picture).stddev) > 1 for picture in pictures)


@pytest.mark.parametrize("width, height", [(1024, 1024), (512, 512), (1280, 768)])
def test_flux2_kleins_noise_is_that_of_the_hosts_own_template(width, height):
    """ModelSamplingFlux with the scheduler simple, in place of Flux2Scheduler."""
    workflow = json.loads((ROOT / "example_workflows/coupled_flux2_klein.json").read_text("utf-8"))
    values = {node["type"]: node.get("widgets_values") for node in workflow["nodes"]}
    max_shift, base_shift, *_ = values["ModelSamplingFlux"]
    _, _, steps, _, scheduler, *_ = values["CoupledSampler"]
    (model,) = ModelSamplingFlux().patch(FLUX2.model(), max_shift, base_shift, width, height)
    sampling = model.get_model_object("model_sampling")
    ours = comfy.samplers.calculate_sigmas(sampling, scheduler, steps)
    theirs = Flux2Scheduler.execute(steps, width, height).result[0]
    assert torch.allclose(ours, theirs, atol=2e-3)
