"""How the mini models are made: the loop that all trainings share, and the command from a seed."""

import json

import folder_paths
import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from coupled.benchmarks.mini import __main__ as bench
from coupled.mini.paths import LORA, WEIGHTS
from coupled.mini.text import TOKENIZER
from coupled.mini.training import dataset, loop, train, train_turbo, vocabulary
from coupled.mini.training.dataset import provide_scenes
from coupled.mini.training.judge import NAMES, train_judge, verdicts
from coupled.mini.training.loop import Budget, Rate, resume
from coupled.mini.training.optimizer import Optimizer
from coupled.mini.world import PLACES

pytestmark = pytest.mark.slow


def line(seed=0):
    torch.manual_seed(seed)
    return torch.nn.Linear(2, 1)


def fit(model, x, y):
    loss = (model(x) - y).square().mean()
    return loss, loss


def batches(target=(1.0, -2.0)):
    while True:
        x = torch.randn(8, 2)
        yield x, x @ torch.tensor(target)[:, None]


def test_a_budget_of_steps_counts_steps_however_slow_they_are(monkeypatch):
    clock = iter(range(0, 10**9, 3600))  # an hour between two looks at the clock
    monkeypatch.setattr(loop.time, "time", lambda: next(clock))
    optimizer = Optimizer(line(), decay=0.0)
    loop.train("line", optimizer, batches(), fit, Rate(0.1), Budget(minutes=1, steps=7))
    assert optimizer.steps == 7


def test_a_budget_of_minutes_ends_by_the_clock(monkeypatch):
    seconds = iter([0, 0, 20, 40, 60, 80])
    monkeypatch.setattr(loop.time, "time", lambda: next(seconds))
    optimizer = Optimizer(line(), decay=0.0)
    loop.train("line", optimizer, batches(), fit, Rate(0.1), Budget(minutes=1))
    assert optimizer.steps == 3


def test_a_budget_of_nothing_is_spent():
    assert Budget(steps=0).progress(0, 0.0) >= 1 and Budget(minutes=0).progress(0, 0.0) >= 1


def test_the_rate_rises_over_the_warmup_and_falls_to_zero():
    rate = Rate(2.0, warmup=10, power=2)
    assert [rate.at(0, 0), rate.at(5, 0), rate.at(10, 0)] == [0, 1, 2]
    assert rate.at(10, 0.5) == 0.5 and rate.at(10, 1.0) == 0


def test_training_finds_the_line_and_the_file_holds_what_it_returns(tmp_path):
    path = tmp_path / "line.pt"
    optimizer = Optimizer(line(), decay=0.0, memory=0.9)
    rate = Rate(0.1, warmup=5)
    state = loop.train("line", optimizer, batches(), fit, rate, Budget(steps=300), path)
    assert torch.allclose(state["weight"], torch.tensor([[1.0, -2.0]]), atol=0.05)
    again = line(seed=1)
    assert resume(again, path) and torch.equal(again.weight, state["weight"])


def test_resuming_without_a_file_changes_nothing_and_with_another_model_s_is_refused(tmp_path):
    model, before = line(), line().weight
    assert not resume(model, tmp_path / "none.pt") and torch.equal(model.weight, before)
    torch.save(torch.nn.Linear(3, 1).state_dict(), tmp_path / "other.pt")
    with pytest.raises(RuntimeError, match="size mismatch"):
        resume(model, tmp_path / "other.pt")


def test_a_model_in_bfloat16_keeps_steps_too_small_for_it():
    model = torch.nn.Linear(1, 1, bias=False).bfloat16()
    torch.nn.init.ones_(model.weight)
    optimizer = Optimizer(model, decay=0.0, memory=0.0)
    for _ in range(100):
        model(torch.ones(1, 1, dtype=torch.bfloat16)).sum().backward()
        optimizer.step(1e-4)
    # One step of 1e-4 is lost next to 1 in bfloat16 (2 ** -8); a hundred of them are 0.01.
    assert optimizer.average_state()["weight"].item() == pytest.approx(0.99, abs=1e-3)
    assert model.weight.item() == pytest.approx(0.99, abs=2**-8)


def test_frozen_weights_and_buffers_are_saved_as_they_are():
    model = torch.nn.BatchNorm1d(2)
    model.bias.requires_grad_(False).fill_(3.0)
    optimizer = Optimizer(model, decay=0.0)
    model(torch.randn(4, 2)).square().sum().backward()
    optimizer.step(0.1)
    state = optimizer.average_state()
    assert state.keys() == model.state_dict().keys() and state["bias"].tolist() == [3.0, 3.0]
    assert torch.equal(state["running_mean"], model.running_mean)


@pytest.mark.slow
def test_the_stages_make_all_weights_from_a_seed_and_are_not_run_twice(tmp_path, monkeypatch):
    monkeypatch.setattr(train, "WEIGHTS", tmp_path / "weights")
    monkeypatch.setattr(train, "LORA", tmp_path / "turbo.safetensors")
    monkeypatch.setattr(train_turbo, "WAYS", train_turbo.BATCH)
    monkeypatch.setattr(train, "write_tokenizer", lambda: None)  # it would write into the pack
    budgets = dict.fromkeys(("codec", "small", "flow", "turbo", "sam", "clip"), Budget(steps=1))
    with torch.compiler.set_stance("force_eager"):  # no compiler is needed to test this
        train.train_all(train.Stages(tmp_path, budgets, scenes=64))
    made = {path.name: load_file(path) for path in (tmp_path / "weights").iterdir()}
    shipped = {path.name: load_file(path) for path in WEIGHTS.iterdir()}
    assert {n: shapes(w) for n, w in made.items()} == {n: shapes(w) for n, w in shipped.items()}
    assert shapes(load_file(tmp_path / "turbo.safetensors")) == shapes(load_file(LORA))
    before = torch.load(tmp_path / "codec.pt", weights_only=True)
    train.train_all(train.Stages(tmp_path, budgets, scenes=64))
    after = torch.load(tmp_path / "codec.pt", weights_only=True)
    assert all(torch.equal(before[name], after[name]) for name in before)


def shapes(weights):
    return {name: tuple(weight.shape) for name, weight in weights.items()}


def test_the_shipped_vocabulary_is_that_of_the_captions(tmp_path, monkeypatch):
    monkeypatch.setattr(vocabulary, "TOKENIZER", tmp_path)
    vocabulary.write_tokenizer()
    shipped = (TOKENIZER / "tokenizer.json").read_text(encoding="utf-8")
    assert (tmp_path / "tokenizer.json").read_text(encoding="utf-8") == shipped


def test_scenes_are_the_same_from_processes_and_threads_and_are_kept(tmp_path, monkeypatch):
    first = provide_scenes(tmp_path / "a", 12, seed=1)
    monkeypatch.setattr(dataset.multiprocessing, "get_all_start_methods", lambda: ["spawn"])
    second = provide_scenes(tmp_path / "b", 12, seed=1)
    assert np.array_equal(first.images_NHWC, second.images_NHWC)
    assert np.array_equal(provide_scenes(tmp_path / "a", 12, seed=2).images_NHWC, first.images_NHWC)


def test_a_judge_learns_to_tell_scenes_apart(tmp_path):
    scenes = provide_scenes(tmp_path, 6, seed=3)
    judge = train_judge(scenes, Budget(steps=60), batch=6)
    images = torch.from_numpy(np.array(scenes.images_NHWC)).float() / 255
    names = [
        (NAMES[s], PLACES[p].name) for s, p in zip(scenes.subject_N, scenes.place_N, strict=True)
    ]
    assert verdicts(judge, images) == names


@pytest.mark.slow
def test_bench_mini_runs_where_no_training_ever_ran(tmp_path, capsys):
    options = bench.parse(["--host", folder_paths.base_path, "--work", str(tmp_path), "--quick"])
    assert bench.run(options) == 0
    report = json.loads((tmp_path / "quick" / "report.json").read_text(encoding="utf-8"))
    assert report["base"]["images"] == 2 == report["turbo"]["images"] and len(report["sets"]) == 2
    assert 0 <= report["mini_clip"]["subject_first"] <= 1 and report["mini_sam"]["iou"] > 0.5
    assert json.loads(capsys.readouterr().out.split("images/s")[-1].split("\n", 1)[-1]) == report
