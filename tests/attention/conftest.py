"""What the tests of all families share."""

import pytest

_models = {}


@pytest.fixture
def model(tiny):
    """The small model of a family, made once for all tests of a process."""
    if tiny.name not in _models:
        _models[tiny.name] = tiny.model()
    return _models[tiny.name]
