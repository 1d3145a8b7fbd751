"""The LoRA with which the mini model paints in four steps, loaded as the host loads one."""

import comfy.sd
import comfy.utils
import pytest
import torch

from coupled.baselines import random_seed
from coupled.mini.model import load_mini
from coupled.mini.paths import LORA
from coupled.mini.size import SIZE

PROMPTS = [
    "A penguin stands on a sandy beach by the sea.",
    "A red car is parked on Tokyo night street, adorned with neon lights and billboards.",
    "An owl sits in a misty forest at dawn, sunlight through trees.",
]


@pytest.fixture(scope="module")
def mini():
    return load_mini()


@pytest.fixture(scope="module")
def turbo(mini):
    lora = comfy.utils.load_torch_file(str(LORA), safe_load=True)
    model, _ = comfy.sd.load_lora_for_models(mini[0], None, lora, 1.0, 0.0)
    return model


def sample(model, clip, steps: int) -> torch.Tensor:
    latent = {"samples": torch.zeros(1, 16, SIZE // 8, SIZE // 8)}
    return random_seed(model, clip, PROMPTS, latent, 3, steps, guidance=3.5)["samples"]


def test_each_of_its_weights_finds_its_layer(turbo):
    lora = comfy.utils.load_torch_file(str(LORA), safe_load=True)
    assert lora and len(turbo.patches) == len(lora) // 2


def test_four_steps_come_nearer_to_many_than_without_it(mini, turbo):
    model, clip, _ = mini
    many = sample(model, clip, 16)
    with_it, without = (
        (sample(one, clip, 4) - many).square().flatten(1).mean(1) for one in (turbo, model)
    )
    assert (with_it < without).all(), (with_it, without)
