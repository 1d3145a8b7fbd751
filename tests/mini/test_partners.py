"""Training by processes side by side: each sees its own examples, all end with the same weights."""

import sys
from pathlib import Path

import folder_paths
import pytest
import torch

from coupled.mini.training.partners import Alone, find_partners, run_side_by_side

SCRIPT = Path(__file__).with_name("partner.py")


def run_partners(monkeypatch, host, folder):
    monkeypatch.setattr(sys, "orig_argv", [sys.executable, str(SCRIPT), str(host), str(folder)])
    run_side_by_side(2)


def test_partners_learn_what_each_alone_could_not(monkeypatch, tmp_path):
    run_partners(monkeypatch, folder_paths.base_path, tmp_path)
    ends = [torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2)]
    assert torch.equal(ends[0]["weight"], ends[1]["weight"])
    assert torch.allclose(ends[0]["weight"], torch.tensor([[1.0, -2.0]]), atol=0.1)
    assert min(end["steps"] for end in ends) > 10
    written = torch.load(tmp_path / "line.pt", weights_only=True)  # a moving average
    assert torch.allclose(written["weight"], ends[0]["weight"], atol=0.3)


def test_a_partner_that_fails_ends_the_training(monkeypatch, tmp_path):
    with pytest.raises(RuntimeError, match="exit code"):
        run_partners(monkeypatch, tmp_path / "no-host", tmp_path)


def test_a_process_that_was_started_alone_has_no_partners():
    assert isinstance(find_partners(), Alone)
