"""The ladder, its guards, and that nothing found is lost, on a problem without pictures."""

import math

import comfy.model_management
import numpy as np
import pytest
import torch
from optuna.trial import FixedTrial, TrialState

from coupled.metrics.score import PRESETS
from coupled.optimize import Learning, open_storage
from coupled.optimize.candidate import estimate
from coupled.optimize.meter import LOST_F_BG, WEIGHTS, Measured, ModelMeter
from coupled.optimize.report import find_front, learned_schedule, report
from coupled.optimize.stages import (
    PAPER_PARAMETERS,
    SHAPES,
    STAGES,
    KnotsStage,
    ShapeStage,
    StepsStage,
    move,
)
from coupled.schedules import from_json, sin, to_json

from optimize_toy import STEPS, TARGET, toy_task


@pytest.fixture
def storage(tmp_path):
    return open_storage(tmp_path / "study.journal")


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A finished learning and the lines of its measurements."""
    folder = tmp_path_factory.mktemp("learning")
    task = toy_task(sets=8, candidates=40, log=folder / "log")
    learning = Learning(task, open_storage(folder / "study.journal")).run()
    return learning, folder


def log_of(folder):
    return (folder / "log").read_text().splitlines()


def test_it_learns_a_course_that_no_family_has(done):
    learning, _ = done
    best, families = learning.best(), [learning.best(shape) for shape in SHAPES]
    assert learning.finished and best.stage not in SHAPES
    distance = math.dist(best.thetas, TARGET)
    assert distance < 0.75 * min(math.dist(one.thetas, TARGET) for one in families)
    for weights in PRESETS.values():
        assert best.score(weights) > max(one.score(weights) for one in families)


def test_every_candidate_never_falls_and_stays_within_0_and_1(done):
    for one in done[0].candidates():
        assert all(0 <= a <= b <= 1 for a, b in zip(one.thetas, one.thetas[1:], strict=False))


def test_each_stage_gets_its_share_of_the_candidates(done):
    counts = [len(done[0].candidates(name)) for name in done[0].stages]
    assert counts == [7, 7, 4, 14, 8] and list(done[0].stages) == [
        *SHAPES,
        "knots",
        "steps",
    ] == list(STAGES)


def test_the_papers_figures_are_among_the_candidates(done):
    for shape, parameters in PAPER_PARAMETERS.items():
        assert any(one.params == pytest.approx(parameters) for one in done[0].candidates(shape))


def test_no_schedule_is_measured_twice(done):
    lines = [line.split(",", 1)[1] for line in log_of(done[1])]
    assert len(lines) == len(set(lines))


def test_no_rung_ends_below_its_start(done):
    values = [
        max(one.value for one in done[0].candidates(name) if one.complete)
        for name in ("knots", "steps")
    ]
    assert (
        max(one.value for shape in SHAPES for one in done[0].candidates(shape))
        <= values[0]
        <= values[1]
    )


def test_candidates_that_are_surely_worse_are_given_up(done):
    partial = [one for one in done[0].candidates() if not one.complete]
    assert partial and all(6 <= len(one.measured) < 8 for one in partial)
    assert all(one.value <= done[0].best(one.stage).value for one in partial)


def test_a_second_run_adds_nothing_and_a_larger_budget_goes_on(tmp_path):
    log, path = tmp_path / "log", tmp_path / "study.journal"
    first = Learning(toy_task(candidates=12, log=log), open_storage(path)).run()
    tried, measured = len(first.candidates()), len(log_of(tmp_path))
    again = Learning(toy_task(candidates=12, log=log), open_storage(path)).run()
    assert len(log_of(tmp_path)) == measured and again.best() == first.best()
    more = Learning(toy_task(candidates=20, log=log), open_storage(path)).run()
    assert (
        len(more.candidates()) > tried
        and log_of(tmp_path)[:measured] == log_of(tmp_path)[:measured]
    )
    assert more.best().value >= first.best().value


def test_the_same_seed_finds_the_same(tmp_path):
    storages = [open_storage(tmp_path / f"{i}.journal") for i in "ab"]
    runs = [
        Learning(toy_task(sets=2, candidates=16, seed=5), storage).run() for storage in storages
    ]
    assert [one.thetas for one in runs[0].candidates()] == [
        one.thetas for one in runs[1].candidates()
    ]


def test_another_task_has_a_study_of_its_own(storage):
    Learning(toy_task(sets=1, candidates=1), storage).run()
    other = Learning(toy_task(sets=1, candidates=1, max_lost=0.2), storage)
    sin_stage = other.open_stage("sin")
    assert other.ladder.remaining(sin_stage) == other.ladder.budget(sin_stage)
    assert other.best() is None


def test_the_clock_stops_it_between_candidates(storage):
    learning = Learning(toy_task(), storage).run(minutes=0)
    assert (
        not learning.finished
        and learning.best() is None
        and report(learning) == "Nothing was tried yet."
    )
    with pytest.raises(ValueError, match="more time"):
        learned_schedule(learning)


class Interrupted:
    """Interrupts the host after so many measurements, as its button does."""

    def __init__(self, count):
        self.count = count

    def __call__(self, learning):
        self.count -= 1
        if self.count == 0:
            comfy.model_management.interrupt_current_processing()


@pytest.mark.parametrize("kind", ["journal", "db"])
def test_an_interruption_loses_nothing(tmp_path, kind):
    log, path = tmp_path / "log", tmp_path / f"study.{kind}"
    learning = Learning(toy_task(3, 2, log=log), open_storage(path), progress=Interrupted(11))
    with torch.inference_mode(), pytest.raises(comfy.model_management.InterruptProcessingException):
        learning.run()
    study = learning.open_stage("sin").study
    assert not study.get_trials(states=(TrialState.RUNNING,)) and learning.best() is not None
    before = log_of(tmp_path)
    resumed = Learning(toy_task(3, 2, log=log), open_storage(path)).run()
    lines = [line.split(",", 1)[1] for line in log_of(tmp_path)]
    assert resumed.finished and len(lines) > len(before) and len(lines) == len(set(lines))


def test_an_error_ends_the_run_and_the_candidate_is_tried_again(storage):
    task = toy_task(sets=2, candidates=1)
    meter, calls = task.meter, []

    def broken(images, prompts):
        calls.append(1)
        if len(calls) == 4:
            raise RuntimeError("out of luck")
        return type(meter)()(images, prompts)

    broken.identity = meter.identity
    object.__setattr__(task, "meter", broken)
    with pytest.raises(RuntimeError, match="out of luck"):
        Learning(task, storage).run()
    assert Learning(task, storage).run().finished


# --- guards ---


def test_a_lost_set_is_worth_an_uncoupled_one():
    kept, gone = Measured(-0.001, 30, 0.8), Measured(0.0, 30, 0.8, "empty")
    for weights in WEIGHTS.values():
        assert gone.score(weights) == weights.score(LOST_F_BG, 30) < kept.score(weights)
    assert Measured.from_list(Measured(math.nan, 30, 0.8, "empty").as_list()).reason == "empty"


def test_both_is_the_mean_of_the_presets():
    assert WEIGHTS["both"].score(-0.002, 31) == pytest.approx(
        sum(preset.score(-0.002, 31) for preset in PRESETS.values()) / 2
    )


def test_schedules_that_erase_the_entity_never_win(storage):
    """Backgrounds that are more alike the less there is of the entity, down to none of either:
    theta = 0.
    """
    task, gone = toy_task(sets=3, candidates=24), 4.5

    def tempting(images, prompts):
        total = float(images[1:].sum())
        return Measured(-0.001 * total, 30.0, 0.8, "The entity is gone." if total < gone else None)

    tempting.identity = "tempting"
    object.__setattr__(task, "meter", tempting)
    learning = Learning(task, storage).run()
    erased = [one for one in learning.candidates() if one.lost]
    assert erased and not any(learning.is_feasible(one) for one in erased)
    assert learning.is_feasible(learning.best()) and gone <= sum(learning.best().thetas) < sum(
        sin().values(STEPS)
    )
    assert f"{len(erased)} kept out because more than 0 sets lost" in report(learning)


def test_if_all_lose_their_entities_the_report_says_so(storage):
    task = toy_task(sets=2, candidates=1)

    def blind(images, prompts):
        return Measured(math.nan, 30.0, 1.0, "The mask is empty.")

    blind.identity = "blind"
    object.__setattr__(task, "meter", blind)
    assert "No schedule kept its entities" in report(Learning(task, storage).run())


@pytest.mark.parametrize(
    "ratio, cosines, words",
    [
        (0.1, [[1, 0], [0, 1]], "hide the background: 10%"),
        (0.8, [[0.3, 0.2], [0.3, 0.2]], "another prompt"),
        (0.8, [[0.3, 0.2], [0.2, 0.3]], None),
    ],
)
def test_what_makes_a_set_lost(ratio, cosines, words):
    reason = ModelMeter(None, None, "toy").explain_loss(ratio, torch.tensor(cosines))
    assert reason is None if words is None else words in reason


def test_unfit_numbers_are_told():
    for settings, words in (
        ({"max_lost": 1}, "max_lost"),
        ({"coarse": 0}, "coarse"),
        ({"candidates": 0}, "candidates"),
        ({"weights": "mine"}, "weights 'mine'"),
        ({"max_lost": math.nan}, "max_lost"),
    ):
        with pytest.raises(ValueError, match=words):
            toy_task(**{"candidates": 5, **settings})
    with pytest.raises(ValueError, match="min_visible"):
        ModelMeter(None, None, "toy", min_visible=math.nan)


# --- parts ---


def test_a_move_of_zero_is_the_start_itself():
    start = sin().values(30)
    for stage in (KnotsStage(start), StepsStage(start)):
        assert stage.suggest(FixedTrial(stage.starts[0])).values(30) == start


def test_moves_are_projected():
    assert move([0, 0.5, 1], [0.2, -0.4, 0.3]).values(3) == [0.15, 0.15, 1.0]


def test_knots_move_the_course_between_them():
    start, stage = [0.2] * 10, KnotsStage([0.2] * 10)
    params = {name: 0.2 * (int(name.split()[1]) >= 5) for name in stage.starts[0]}
    assert stage.suggest(FixedTrial(params)).values(10) == [0.2] * 5 + [0.4] * 5 != start


def test_a_family_is_its_own_schedule():
    assert ShapeStage("sin").suggest(FixedTrial({"center": 12.0, "k": 0.8})) == sin()


def test_what_was_given_up_is_guessed_from_the_sets_it_has_seen():
    best = {0: 1.0, 1: 5.0, 2: 9.0}
    assert estimate({2: 8.0}, best) == pytest.approx(4.0)
    assert estimate({0: 2.0}, best) == 5.0 and estimate({0: 2.0}, {}) == 2.0


def test_the_front_is_what_no_other_beats(done):
    everyone = [one for one in done[0].candidates() if one.complete]
    found = find_front(everyone)
    assert found and all(
        not any(a.f_bg > b.f_bg and a.f_ti > b.f_ti for a in everyone) for b in found
    )
    assert np.all(np.diff([one.f_ti for one in found]) >= 0) and np.all(
        np.diff([one.f_bg for one in found]) <= 0
    )


def test_the_learned_schedule_makes_a_file_that_says_where_it_comes_from(done, monkeypatch):
    learning = done[0]
    painter = learning.task.painter
    painter.latent, painter.vae = {"samples": torch.zeros(1, 16, 16, 16)}, learning
    monkeypatch.setattr(learning, "spacial_compression_decode", lambda: 8, raising=False)
    vars(painter.settings).update(
        sampler_name="euler", scheduler="simple", mode="exact", entity_text="entity"
    )
    again = from_json(to_json(learned_schedule(learning, "toy", "a toy")))
    assert again.values(STEPS) == list(learning.best().thetas) and again.name == "toy"
    assert "learned on a toy: 128 × 128, 8 steps" in again.origin and "8 sets" in again.origin
