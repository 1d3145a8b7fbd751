"""Optimize Theta, executed through its class on the mini model, with a toy meter in place of the
measuring models.
"""

import json

import comfy.model_management
import folder_paths
import pytest
import torch

from coupled.mini.model import load_mini
from coupled.nodes import optimize as node_file
from coupled.nodes.optimize import CoupledOptimizeTheta
from coupled.nodes.theta_files import CoupledThetaLoad
from coupled.nodes.theta_store import list_schedules
from coupled.optimize.meter import Measured
from coupled.plots.learning import draw_strip
from coupled.schedules import from_values, read_schedule

from notes import find_pattern

pytestmark = pytest.mark.slow

STEPS = 4
SETS = "A cat sits in a meadow.\nA dog plays in a meadow."
INPUTS = {
    "seed": 1,
    "seeds_per_set": 1,
    "steps": STEPS,
    "sampler_name": "euler",
    "scheduler": "simple",
    "guidance": 3.5,
    "mode": "exact",
    "entity_text": "full prompt",
    "weights": "both",
    "max_lost": 0.5,
    "coarse": 1.0,
    "minutes": 0.0,
    "study": "mine",
    "budget": 5,
}
TRIED = 15  # with so small a budget: four of each of the three shapes, and two and one more


class ToyMeter:
    """Likes images that differ from one another, and the darker the better: quick, and it has an
    optimum.
    """

    identity, count = "toy", 0

    def __call__(self, images_NHWC, prompts):
        ToyMeter.count += 1
        differ = float((images_NHWC[0] - images_NHWC[1]).square().mean())
        return Measured(-0.01 * float(images_NHWC.mean()), 30 + 10 * min(differ, 0.1), 0.8)


@pytest.fixture
def host(tmp_path, monkeypatch):
    """The host's output and user folders in tmp_path, and a toy meter for whatever the combos
    choose.
    """
    monkeypatch.setattr(folder_paths, "output_directory", str(tmp_path / "output"))
    monkeypatch.setattr(folder_paths, "temp_directory", str(tmp_path / "temp"))
    monkeypatch.setattr(folder_paths, "user_directory", str(tmp_path / "user"))
    monkeypatch.setitem(
        folder_paths.folder_names_and_paths, "theta", ([str(tmp_path / "theta")], set())
    )
    monkeypatch.delenv("COUPLED_STUDY_URL", raising=False)
    monkeypatch.setattr(node_file, "meter_of", lambda segmenter, clip_model: ToyMeter())
    ToyMeter.count = 0
    return tmp_path


@pytest.fixture(scope="module")
def mini():
    return dict(zip(("model", "clip", "vae"), load_mini(), strict=True))


def execute(mini, **inputs):
    latent = {"samples": torch.zeros(1, 16, 16, 16)}
    with torch.inference_mode():  # as the host runs nodes
        return CoupledOptimizeTheta.execute(
            **{**mini, "latent_image": latent, "prompt_sets": SETS, **INPUTS, **inputs}
        )


def test_the_contract():
    schema = CoupledOptimizeTheta.define_schema()
    assert [one.io_type for one in schema.outputs] == ["THETA_SCHEDULE", "IMAGE", "STRING"]
    names = [one.id for one in schema.inputs]
    assert names[:5] == ["model", "clip", "vae", "latent_image", "prompt_sets"] and {
        "budget",
        "seed",
    } <= set(names)


@pytest.mark.slow
def test_it_learns_saves_and_goes_on(mini, host):
    theta, plot, text = execute(mini).result
    assert theta.values(STEPS) == sorted(theta.values(STEPS)) and plot.shape[-2:] == (1152, 3)
    first, second, *_ = text.splitlines()
    assert first.startswith(f"Best of {TRIED} schedules: the ") and second.startswith(
        "learned: stated"
    )
    assert "model calls made" in text
    (saved,) = (host / "output" / "theta").glob("*.json")
    assert read_schedule(saved).values(STEPS) == theta.values(STEPS)
    assert "learned: 128 × 128, 4 steps" in json.loads(saved.read_text())["source"]["origin"]
    name = next(name for name in list_schedules() if "mine_00001_" in name)
    assert CoupledThetaLoad.execute(name)[0].values(STEPS) == theta.values(STEPS)
    assert (host / "user" / "coupled" / "studies.db").is_file()
    before = ToyMeter.count
    again = execute(mini).result
    assert ToyMeter.count == before and again[0] == theta and torch.equal(again[1], plot)
    execute(mini, budget=30)
    assert ToyMeter.count > before


def test_an_interruption_saves_the_best_says_so_and_ends_the_node(mini, host, monkeypatch):
    said = []
    monkeypatch.setattr(node_file, "say", said.append)

    def interrupt_in_the_fourth(task):
        return lambda learning: (
            len(learning.candidates()) == 3
            and learning.measuring == 1
            and comfy.model_management.interrupt_current_processing()
        )

    monkeypatch.setattr(node_file, "NodeProgress", interrupt_in_the_fourth)
    with pytest.raises(comfy.model_management.InterruptProcessingException):
        execute(mini)
    (saved,) = (host / "output" / "theta").glob("*.json")
    # the fourth was interrupted when its one set was measured
    assert "4 candidates" in read_schedule(saved).origin
    [words] = said
    assert words.startswith("Interrupted. The best of 4 schedules is saved: ")
    assert saved.name in words and words.endswith("The next run continues.")


@pytest.mark.slow
def test_progress_rises_and_shows_a_picture_at_each_new_best(mini, host, monkeypatch):
    seen = []
    monkeypatch.setattr(
        "comfy.utils.PROGRESS_BAR_HOOK",
        lambda value, total, preview, node_id=None: seen.append((value, total, preview)),
    )
    execute(mini)
    mine = [one for one in seen if one[1] == TRIED]
    values, pictures = [one[0] for one in mine], [one[2] for one in mine if one[2]]
    assert values == sorted(values) and values[-1] == mine[-1][1]
    assert pictures and all(
        kind == "JPEG" and picture.width == 1152 for kind, picture, _ in pictures
    )


def test_it_says_what_it_does_from_the_start(mini, host, monkeypatch):
    said = []
    monkeypatch.setattr(node_file, "say", said.append)
    execute(mini)
    assert said[0] == f"Schedule 1 of {TRIED}. Set 1 of 1."
    assert all(f" of {TRIED}" in one for one in said[:-1]) and said[-1] == "Done."
    assert "the paper's shape sin" in said[1]
    assert "Best so far: score " in said[-2] and "left" in said[2]
    assert all(find_pattern(line) for text in said for line in text.splitlines())


def test_unfit_inputs_are_told_before_anything_is_made(mini, host):
    for inputs, words in (
        ({"study": "../x"}, "filename_prefix"),
        ({"prompt_sets": "A cat."}, "one prompt"),
        ({"clip": None}, "^Load a text encoder"),
        ({"sampler_name": "nope"}, "no sampler"),
        ({"minutes": float("nan")}, "minutes"),
        ({"guidance": float("nan")}, "guidance"),
        ({"seeds_per_set": 0}, "one seed"),
        ({"study": "a\u200db"}, "filename_prefix"),
    ):
        with pytest.raises(ValueError, match=words):
            execute(mini, **inputs)
    assert ToyMeter.count == 0


def test_a_shared_study_is_named_by_the_environment(mini, host, monkeypatch):
    monkeypatch.setenv("COUPLED_STUDY_URL", str(host / "shared.journal"))
    with pytest.raises(ValueError, match="more time"):
        execute(mini, minutes=1e-9)
    assert not (host / "user" / "coupled").exists()


def test_the_strip_holds_all_images():
    assert draw_strip(torch.rand(3, 128, 128, 3)).size == (3 * 357 + 40, 357)
    assert draw_strip(torch.rand(2, 64, 32, 3)).size == (2 * 240 + 20, 480)


def test_schedules_that_ship_are_valid_and_offered():
    shipped = [name for name in list_schedules() if name.endswith(" [learned]")]
    for name in shipped:
        schedule = CoupledThetaLoad.execute(name)[0]
        assert (
            schedule.origin.startswith("learned on ")
            and from_values(schedule.values(30))[1] is None
        )
    with pytest.raises(ValueError, match="no schedule"):
        CoupledThetaLoad.execute("../families.py [learned]")
