"""What the shipped workflows compare and promise: fair rows, one way to write entities, films that
show their pair first; held against the running host.
"""

import json

import pytest

from coupled.devtools.subgraphs import definitions, unpack
from coupled.devtools.workflow import to_prompt
from coupled.mini.size import SIZE

from markers import NEWER_TEMPLATES
from paths import ROOT

FOLDER = ROOT / "example_workflows"
FILES = sorted(FOLDER.glob("*.json"))
CHAIN = FOLDER / "coupled_compare_mini.json"  # all nodes of a set, one by one
BLUEPRINT = ROOT / "subgraphs" / "Coupled Set.json"


@pytest.fixture(scope="module")
def object_info(host_server):
    return host_server.client.object_info()


def structure(subgraph: dict) -> dict:
    """A subgraph without its name and the values in it."""
    nodes = [
        {key: value for key, value in node.items() if key != "widgets_values"}
        for node in subgraph["nodes"]
    ]
    return {**subgraph, "id": None, "nodes": nodes}


@pytest.mark.parametrize("file", FILES, ids=lambda f: f.stem)
def test_coupled_set_is_the_blueprint(file):
    """And it holds the values that its node carries, so that all that read it see the same."""
    (blueprint,) = definitions(json.loads(BLUEPRINT.read_text())).values()
    workflow = json.loads(file.read_text())
    subgraphs = definitions(workflow)
    copies = [one for one in subgraphs.values() if one["name"] == blueprint["name"]]
    assert [one for one in copies if structure(one) != structure(blueprint)] == []


def test_a_subgraph_holds_the_values_that_its_node_carries(object_info):
    for file in FILES:
        if file.stem in NEWER_TEMPLATES:
            continue  # an older host cannot read it
        workflow = json.loads(file.read_text())
        carried = to_prompt(workflow, object_info)
        for node in workflow["nodes"]:
            if node["type"] in definitions(workflow):
                node["widgets_values"] = []
                node["inputs"] = [
                    {key: value for key, value in one.items() if key != "widget"}
                    for one in node["inputs"]
                ]
        assert to_prompt(workflow, object_info) == carried, file.stem


def test_the_mini_model_is_asked_for_its_own_size(object_info):
    for file in FILES:
        prompt = to_prompt(json.loads(file.read_text()), object_info) if "mini" in file.stem else {}
        for node in prompt.values():
            if node["class_type"] == "EmptySD3LatentImage":
                sides = (node["inputs"]["width"], node["inputs"]["height"])
                assert sides == (SIZE, SIZE), file.stem


@pytest.mark.parametrize("file", FILES, ids=lambda f: f.stem)
def test_the_entity_text_is_that_of_the_node(file, object_info):
    """Templates and a node that is put in by hand make the same pictures."""
    (default,) = [
        options["default"]
        for name, (_, options) in object_info["CoupledTextEncode"]["input"]["required"].items()
        if name == "entity_text"
    ]
    nodes = unpack(json.loads(file.read_text()))["nodes"]
    values = [n["widgets_values"][-1] for n in nodes if n["type"] == "CoupledTextEncode"]
    values += [n["widgets_values"][-1] for n in nodes if n["type"] == "CoupledOptimizeTheta"]
    assert set(values) == {default}


COMPARED = [CHAIN, FOLDER / "coupled_measure_mini.json"]
ONE_NODE = ("seed", "steps", "guidance", "prompts")  # each of them feeds both rows


@pytest.mark.parametrize("file", COMPARED, ids=lambda f: f.stem)
def test_the_same_seed_pair_is_the_coupled_set_but_for_the_coupling(file, object_info):
    """Same model, size, seed, steps, sampler, guidance and prompts, by links where the reader would
    change one; otherwise the comparison would not be fair.
    """
    prompt = to_prompt(json.loads(file.read_text()), object_info)

    def inputs(kind: str) -> dict:
        (node,) = [node for node in prompt.values() if node["class_type"] == kind]
        return node["inputs"]

    coupled, encode, stock = (
        inputs(kind) for kind in ("CoupledSampler", "CoupledTextEncode", "CoupledRandomSeed")
    )
    for name in ("sampler_name", "scheduler"):
        assert stock[name] == coupled[name], name
    assert (coupled["cfg"], coupled["denoise"]) == (1, 1)  # as the baseline has them
    assert stock["model"] == inputs("CoupledModelPatch")["model"]
    assert stock["clip"] == encode["clip"]
    latents = [prompt[row["latent_image"][0]]["inputs"] for row in (coupled, stock)]
    assert latents[0] == latents[1]
    split = inputs("CoupledSplitPrompts")
    for name in ONE_NODE:
        row = next(row for row in (coupled, encode) if name in row)
        assert isinstance(stock[name], list), f"{name} is not linked"
        assert stock[name] in (row[name], split.get(name)), name


@pytest.mark.parametrize("file", COMPARED, ids=lambda f: f.stem)
def test_a_comparison_shows_both_rows_alike(file):
    """A measure, or the host's comparer, for both; the pictures one above the other."""
    workflow = json.loads(file.read_text())
    kinds = [node["type"] for node in workflow["nodes"]]
    measured = kinds.count("CoupledScore") == kinds.count("CoupledBackgroundSimilarity") == 2
    places = [n["pos"][0] for n in workflow["nodes"] if n["type"] == "SaveImage"]
    assert measured or ("ImageCompare" in kinds and len(places) == 2 and len(set(places)) == 1)


FILMS = [file for file in FILES if "first_last_frame" in file.stem]


def origins(prompt: dict, node: str) -> set[str]:
    """All nodes that a node takes something from, over others too."""
    found, left = set(), [node]
    while left:
        links = [v for v in prompt[left.pop()]["inputs"].values() if isinstance(v, list)]
        left += {origin for origin, _ in links} - found
        found |= {origin for origin, _ in links}
    return found


@pytest.mark.needs_host("0.26", "bit_depth of Create Video")
@pytest.mark.parametrize("file", FILMS, ids=lambda f: f.stem)
def test_a_film_shows_its_pair_first_and_has_its_size(file, object_info):
    """First and Last Frame has the masks, so it says how alike the backgrounds are, and the video
    waits for it; the frames' size is the video's by links.
    """
    prompt = to_prompt(json.loads(file.read_text()), object_info)
    by_kind = {node["class_type"]: key for key, node in prompt.items()}
    pair = prompt[by_kind["CoupledPair"]]["inputs"]
    assert pair["entity_masks"][0] in prompt and pair["images"][0] in prompt
    assert by_kind["CoupledPair"] in origins(prompt, by_kind["SaveVideo"])
    video = by_kind.get("WanFirstLastFrameToVideo") or by_kind["EmptyLTXVLatentVideo"]
    size = by_kind["GetImageSize"]
    assert [prompt[video]["inputs"][side] for side in ("width", "height")] == [[size, 0], [size, 1]]
    assert prompt[size]["inputs"]["image"] == [by_kind["CoupledPair"], 0]


@pytest.mark.needs_host("0.26", "bit_depth of Create Video")
def test_the_ltx_film_has_both_frames_as_keyframes(object_info):
    file = FOLDER / "coupled_first_last_frame_ltx.json"
    prompt = to_prompt(json.loads(file.read_text()), object_info)
    (pair,) = [key for key, node in prompt.items() if node["class_type"] == "CoupledPair"]
    guides = [n["inputs"] for n in prompt.values() if n["class_type"] == "LTXVAddGuide"]
    assert {(guide["frame_idx"], *guide["image"]) for guide in guides} == {
        (0, pair, 0),
        (-1, pair, 1),
    }
    wan = FOLDER / "coupled_first_last_frame_wan.json"
    count = [len(json.loads(one.read_text())["nodes"]) for one in (file, wan)]
    assert count[0] <= count[1]  # as small as the other
