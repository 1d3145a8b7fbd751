"""The options of `dev.py dataset` as settings."""

import pytest

from coupled.dataset.filters import read_filters
from coupled.dataset.settings import Models
from coupled.devtools.dataset import parse_options, read_settings
from coupled.mini.size import SIZE

FLUX = ("--unet", "u", "--clip-l", "c", "--t5", "t", "--vae", "v")


def settings(*options):
    return read_settings(parse_options(["--host", "", "make", "a.jsonl", "out", *options]))


@pytest.mark.parametrize(
    "options, size",
    [
        ((), (SIZE, SIZE)),
        (FLUX, (1024, 1024)),
        (("--size", "64"), (64, 64)),
        ((*FLUX, "--size", "1344x768"), (1344, 768)),
    ],
)
def test_a_size_is_the_models_own_one_number_or_two(options, size):
    found = settings(*options)
    assert (found.width, found.height) == size


@pytest.mark.parametrize("size", ["big", "64x", "x64", "64x64x64", "-64"])
def test_another_size_is_refused(size):
    with pytest.raises(ValueError, match="write one number, or WIDTHxHEIGHT"):
        settings(f"--size={size}")


def test_models_have_the_names_of_the_options():
    found = settings(*FLUX, "--lora", "l", "--lora-strength", "0.5", "--license", "MIT").models
    names = {"unet": "u", "clip_l": "c", "t5": "t", "vae": "v"}
    assert found == Models(**names, lora="l", lora_strength=0.5, license="MIT")


def test_filters_are_read_at_once():
    assert settings("--filters", "ultraedit").filters == read_filters("ultraedit")
    with pytest.raises(FileNotFoundError, match="no filters 'magic'"):
        settings("--filters", "magic")
