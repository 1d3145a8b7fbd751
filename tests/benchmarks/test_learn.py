"""The benchmark of learning: sets apart from the held-out ones, and a page that says what the
numbers say.
"""

import json
import xml.etree.ElementTree as ET

import pytest
import torch

from coupled.benchmarks.learn import __main__ as program
from coupled.benchmarks.learn import trial as trial_module
from coupled.benchmarks.learn.page import Page
from coupled.benchmarks.learn.task import HELD_OUT_SEED, TRAINING_SEED
from coupled.benchmarks.learn.trial import LEARNED, Trial, find_contenders
from coupled.benchmarks.sets import held_out_sets, training_sets
from coupled.benchmarks.store import Store
from coupled.mini.world import PLACES, SUBJECTS, held_out
from coupled.optimize import Learning, open_storage
from coupled.optimize.meter import Measured
from coupled.optimize.painter import Calls
from coupled.schedules import read_schedule

from optimize_toy import STEPS, toy_task


def pairs(prompts):
    """(subject, place) of each prompt, by the words that the world has for them."""
    place = next(
        p.name for p in PLACES if any(phrase.split(" ", 1)[1] in prompts[0] for phrase in p.phrases)
    )
    return [
        (
            next(
                s.name
                for s in SUBJECTS
                if any(
                    prompt.lower().startswith(f"{noun} {verb}".lower())
                    for noun in s.nouns
                    for verb in s.verbs
                )
            ),
            place,
        )
        for prompt in prompts
    ]


def test_training_sets_are_apart_from_the_held_out_ones():
    training = [pair for one in training_sets(48) for pair in pairs(one.prompts)]
    assert not any(held_out(*pair) for pair in training)
    assert all(held_out(*pair) for one in held_out_sets() for pair in pairs(one.prompts))
    assert {place for _, place in training} == {place.name for place in PLACES}
    assert (
        len({one.prompts for one in training_sets(48)}) == 48
        and training_sets(5) == training_sets(48)[:5]
    )
    assert abs(HELD_OUT_SEED - TRAINING_SEED) >= 1000


class ToyHeldOut:
    """Stands for the Painter of the held-out sets: as the toy's own."""

    def __init__(self, model, clip, vae, sets, seeds, latent, settings, prefixes):
        self.sets, self.seeds, self.calls, self.paints = sets, seeds, Calls(), 0
        self.instances = [(i, j) for j in range(len(seeds)) for i in range(len(sets))]

    def paint(self, instance, theta):
        self.paints += 1
        return [instance[0], *theta.values(STEPS)]


@pytest.fixture(scope="module")
def learning(tmp_path_factory):
    task = toy_task(candidates=30, weights="both")
    vars(task.painter).update(
        model=None, clip=None, vae=None, latent={"samples": torch.zeros(1, 16, 16, 16)}
    )
    vars(task.painter.settings).update(
        sampler_name="euler", scheduler="simple", mode="exact", entity_text="entity"
    )
    task.painter.vae = type("Vae", (), {"spacial_compression_decode": lambda self: 8})()
    return Learning(
        task, open_storage(tmp_path_factory.mktemp("study") / "study.journal"), "mini"
    ).run()


@pytest.fixture
def trial(learning, tmp_path, monkeypatch):
    monkeypatch.setattr(trial_module, "Painter", ToyHeldOut)
    meter = learning.task.meter

    def lists(images, prompts):
        return type(meter).__call__(meter, torch.tensor(images), prompts)

    made = Trial(learning, Store(tmp_path / "store"), 4, 2)
    made.meter = lists
    made.run()
    return made


def test_each_contender_is_measured_once_on_each_set_and_seed(trial):
    assert {len(results) for results in trial.results.values()} == {8}
    assert trial.painter.paints == 8 * len({one.key(STEPS) for one in trial.contenders})
    again = Trial.__new__(Trial)
    vars(again).update({**vars(trial), "results": {}})
    again.painter.paints = 0
    again.run()
    assert again.painter.paints == 0 and again.results == trial.results


def test_families_bring_their_best_of_each_preset(learning):
    found = find_contenders(learning)
    assert found[0].label == LEARNED and found[-1].presets == ()
    for shape in ("sin", "arctan", "01"):
        presets = [preset for one in found if one.shape == shape for preset in one.presets]
        assert sorted(presets) == ["stated", "tabulated"]


def test_a_learning_that_has_only_begun_is_told_to_go_on(tmp_path):
    begun = Learning(toy_task(), open_storage(tmp_path / "study.journal")).run(minutes=0)
    with pytest.raises(ValueError, match="more --minutes.*sin, arctan, 01"):
        find_contenders(begun)


def test_the_page_says_what_the_numbers_say(learning, trial, tmp_path):
    folders = (tmp_path / name for name in ("docs", "output", "schedules"))
    page = Page(learning, trial, *folders)
    page.write()
    text, numbers = (
        (tmp_path / "docs" / "learned.md").read_text(),
        json.loads((tmp_path / "output" / "learned.json").read_text()),
    )
    assert "the learned schedule beats the best shape" in text and "model calls made" in text
    for preset, rival in numbers["rivals"].items():
        ours, theirs = (
            numbers["contenders"][name]["held out"][preset]["mean"] for name in (LEARNED, rival)
        )
        assert (
            numbers["differences"][preset][rival]["mean"] == pytest.approx(ours - theirs)
            and ours > theirs
        )
    assert read_schedule(tmp_path / "schedules" / "mini-flux.json").values(STEPS) == list(
        learning.best().thetas
    )
    for name in ("curve", "front"):
        assert ET.parse(tmp_path / "docs" / "learned" / f"{name}.svg").getroot().tag.endswith("svg")


def test_a_loss_is_called_a_loss(learning, trial, tmp_path):
    trial.results[LEARNED] = [Measured(-0.5, 1.0, 0.8)] * 8
    text = Page(learning, trial, tmp_path, tmp_path, tmp_path).markdown()
    assert "does not beat the best shape" in text and "beats the best shape" not in text


def test_the_programs_options():
    options = program.parse_options(
        ["--host", "x", "--minutes", "2", "--worker", "--study", "a.journal"]
    )
    assert (options.minutes, options.worker, options.study) == (2, True, "a.journal")
