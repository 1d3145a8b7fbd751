"""What the tests of data sets share: prompts, and the models, loaded once a file."""

import dataclasses
import json

import pytest
import torch
from tiny_dataset import GRAMMAR, SETTINGS

from coupled.dataset import run
from coupled.dataset.work import Maker


@pytest.fixture(scope="module", autouse=True)
def threads():
    """A Maker sets torch's threads."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def prompts(tmp_path_factory):
    path = tmp_path_factory.mktemp("prompts") / "grammar.json"
    path.write_text(json.dumps(GRAMMAR))
    return path


@pytest.fixture(scope="module")
def maker():
    return Maker(dataclasses.replace(SETTINGS, hashes=run.hash_models(SETTINGS.models)))
