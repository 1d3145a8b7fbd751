"""What nodes say on themselves: words that the mini model passes over, how alike a set came out."""

import pytest
import torch

from coupled.mini.model import load_mini
from coupled.nodes.baselines import CoupledRandomSeed
from coupled.nodes.coupling import CoupledModelPatch, CoupledTextEncode
from coupled.nodes.said import name_unknown
from coupled.nodes.sampling import ALIKE, CoupledSampler
from coupled.schedules import sin

BACKGROUND = "A sandy beach by the sea."
KNOWN, UNKNOWN = "A penguin stands.", "A xylophone stands on a Zeppelin."
RUN = {"seed": 1, "steps": 2, "sampler_name": "euler", "scheduler": "simple"}


@pytest.fixture(scope="module")
def mini():
    with torch.inference_mode():
        yield load_mini()


def latent() -> dict:
    return {"samples": torch.zeros(1, 16, 8, 8)}


def said(output) -> str:
    ui = output.ui
    return "" if ui is None else "".join(ui.as_dict()["text"])


def test_unknown_words_stand_on_the_node(mini):
    _, clip, _ = mini
    encode = CoupledTextEncode.execute
    assert said(encode(clip, BACKGROUND, f"{KNOWN}\n{UNKNOWN}")).endswith(": xylophone, zeppelin")
    assert said(encode(clip, UNKNOWN, KNOWN)).endswith(": xylophone, zeppelin")
    assert said(encode(clip, BACKGROUND, KNOWN)) == ""


def test_a_baseline_says_them_too(mini):
    model, clip, _ = mini
    made = {
        text: CoupledRandomSeed.execute(
            model, clip, prompts=text, latent_image=latent(), guidance=3.5, **RUN
        )
        for text in (KNOWN, UNKNOWN)
    }
    assert said(made[KNOWN]) == "" and said(made[UNKNOWN]).endswith(": xylophone, zeppelin")


def test_an_encoder_that_reads_anything_passes_over_nothing():
    class Clip:
        tokenizer = object()

    assert name_unknown(Clip(), [UNKNOWN]) == []


@pytest.mark.parametrize("mode", ["local", "exact", None])
def test_a_run_says_how_alike_it_came_out(mini, mode):
    """With a plate by the share that is its own; else by what all pictures have nearly the same."""
    model, clip, _ = mini
    texts = CoupledTextEncode.execute(clip, BACKGROUND, f"{KNOWN}\nA red car is parked.")[0]
    if mode is not None:
        model = CoupledModelPatch.execute(model, sin(4, 0.8), mode)[0]
    text = said(
        CoupledSampler.execute(model, texts, latent(), denoise=1.0, images_per_pass=0, **RUN)
    )
    assert ("background identical outside" in text) == (mode == "local")
    assert (ALIKE in text) == (mode != "local") and ("Not coupled" in text) == (mode is None)


def test_one_picture_alone_is_compared_with_nothing(mini):
    model, clip, _ = mini
    texts = CoupledTextEncode.execute(clip, BACKGROUND, KNOWN)[0]
    model = CoupledModelPatch.execute(model, sin(4, 0.8), "exact")[0]
    output = CoupledSampler.execute(model, texts, latent(), denoise=1.0, images_per_pass=0, **RUN)
    assert said(output) == ""
