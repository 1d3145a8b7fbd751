"""What the baselines share: the same seed, the nodes, and what is refused."""

import pytest
import torch

from coupled.baselines import p2p, random_seed, rf_inversion
from coupled.mini.model import load_mini
from coupled.nodes.baselines import NODES, CoupledP2P, CoupledRandomSeed, CoupledRFInversion
from coupled.sampling import couple
from coupled.schedules import constant

PROMPTS = [
    "An eagle soars gracefully in a vibrant meadow.",
    "A red fox runs in a vibrant meadow.",
    (
        "A red fox runs in a vibrant meadow under a clear blue sky, bathed in sunlight, by a river,"
        " in the evening."
    ),
]
SEED, STEPS = 7, 3
ALL = [random_seed, p2p, rf_inversion]
each = pytest.mark.parametrize("baseline", ALL, ids=lambda f: f.__name__)
editing = pytest.mark.parametrize("baseline", [p2p, rf_inversion], ids=lambda f: f.__name__)
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(autouse=True)
def as_the_host_runs():
    with torch.inference_mode():
        yield


@pytest.fixture(scope="module")
def mini():
    return load_mini()[:2]


def empty(n=1):
    return {"samples": torch.zeros(n, 16, 16, 16)}


def run(baseline, mini, prompts=PROMPTS[:2], latent=None, **options):
    options = {"seed": SEED, "steps": STEPS, **options}
    return baseline(*mini, prompts, latent or empty(), **options)["samples"]


def host_image(mini, prompt, sampler_name, seed=SEED, latent=None):
    """CLIP Text Encode, Flux Guidance and KSampler."""
    import node_helpers

    import nodes

    model, clip = mini
    positive, negative = (
        clip.encode_from_tokens_scheduled(clip.tokenize(text)) for text in (prompt, "")
    )
    positive = node_helpers.conditioning_set_values(positive, {"guidance": 3.5})
    return nodes.common_ksampler(
        model, seed, STEPS, 1.0, sampler_name, "simple", positive, negative, latent or empty()
    )[0]["samples"]


@pytest.mark.parametrize("sampler_name", ["euler", "euler_ancestral", "dpmpp_2m"])
def test_random_seed_is_the_hosts_ksampler_bit_for_bit(mini, sampler_name):
    images = run(random_seed, mini, PROMPTS, sampler_name=sampler_name)
    for image, prompt in zip(images, PROMPTS, strict=True):
        assert torch.equal(image, host_image(mini, prompt, sampler_name)[0])
    assert not torch.equal(images[0], images[1])


def test_a_mask_and_a_latent_for_each_image_count_as_in_the_host(mini):
    latent = {"samples": torch.randn(2, 16, 16, 16), "noise_mask": torch.ones(2, 128, 128).tril()}
    images = run(random_seed, mini, latent=latent)
    for i in range(2):
        alone = {k: v[i : i + 1] for k, v in latent.items()}
        assert torch.equal(images[i], host_image(mini, PROMPTS[i], "euler", latent=alone)[0])


def test_one_prompt_is_enough_for_random_seed(mini):
    assert torch.equal(run(random_seed, mini, PROMPTS[:1]), run(random_seed, mini)[:1])


@editing
def test_the_first_image_is_the_stock_one(mini, baseline):
    source = run(baseline, mini, sampler_name="euler_ancestral")[:1]
    torch.testing.assert_close(
        source,
        run(random_seed, mini, PROMPTS[:1], sampler_name="euler_ancestral"),
        rtol=0,
        atol=1e-4,
    )


@each
def test_the_model_and_the_latent_stay_as_they_were(mini, baseline):
    model, latent = mini[0], empty()
    wrappers, options = repr(model.wrappers), repr(model.model_options)
    first = run(baseline, mini, PROMPTS, latent)
    assert repr(model.wrappers) == wrappers and repr(model.model_options) == options
    assert latent["samples"].shape[0] == 1 and not latent["samples"].any()
    assert first.shape == (3, 16, 16, 16) and torch.equal(
        first, run(baseline, mini, PROMPTS, latent)
    )


@each
def test_a_lora_on_the_model_counts(mini, baseline):
    model, clip = mini
    patched = model.clone()
    key = "diffusion_model.final_layer.linear.weight"
    weight = model.model.diffusion_model.final_layer.linear.weight
    patched.add_patches({key: (torch.full_like(weight, 0.05),)})
    assert (run(baseline, (patched, clip)) - run(baseline, mini)).abs().max() > 1e-2


@each
def test_progress_runs_over_the_whole_and_an_interrupt_ends_it(mini, baseline, monkeypatch):
    import comfy.model_management
    import comfy.utils

    seen = []
    monkeypatch.setattr(
        comfy.utils.ProgressBar,
        "update_absolute",
        lambda self, value, total=None, preview=None: seen.append((value, total)),
    )
    run(baseline, mini)
    passes = {random_seed: 2, p2p: 1, rf_inversion: 3}[baseline]
    assert seen == [((i + 1) // passes, STEPS) for i in range(passes * STEPS)]
    comfy.model_management.interrupt_current_processing(True)
    with pytest.raises(comfy.model_management.InterruptProcessingException):
        run(baseline, mini)


# What is refused


@each
def test_a_coupled_model_is_refused(mini, baseline):
    model, clip = mini
    with pytest.raises(ValueError, match="^Connect the unpatched MODEL"):
        run(baseline, (couple(model, constant(0.5)), clip))


@editing
def test_one_prompt_is_refused(mini, baseline):
    with pytest.raises(ValueError, match="at least 2 prompts, one per line: now the number is 1"):
        run(baseline, mini, PROMPTS[:1])


@each
@pytest.mark.parametrize(
    "change, words",
    [
        (
            {"latent": {"samples": torch.full((1, 16, 16, 16), torch.nan)}},
            "NaN or infinite numbers in row 0",
        ),
        (
            {"latent": {"samples": torch.zeros(3, 16, 16, 16)}},
            "batch of 3, but the set is one of 2",
        ),
        ({"prompts": []}, "the number is 0"),
        ({"steps": 0}, "steps must be 1 or more"),
        ({"guidance": float("nan")}, "guidance must be a finite number"),
        ({"sampler_name": "euler_cfg_pp"}, "needs a negative prompt, and baselines do not"),
        ({"scheduler": "none"}, "There is no scheduler 'none'"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_unfit_settings_are_refused(mini, baseline, change, words):
    with pytest.raises(ValueError, match=words):
        run(baseline, mini, **change)


@each
def test_a_missing_text_encoder_is_refused(mini, baseline):
    with pytest.raises(ValueError, match="^Load a text encoder"):
        run(baseline, (mini[0], None))


@each
def test_a_result_that_is_no_number_is_refused(mini, baseline):
    model, clip = mini
    broken = model.clone()
    broken.set_model_unet_function_wrapper(
        lambda call, args: call(args["input"], args["timestep"], **args["c"]) * 1e39
    )
    with pytest.raises(ValueError, match="sampling gave NaN"):
        run(baseline, (broken, clip))


# The nodes


@pytest.mark.parametrize(
    "node, baseline",
    [(CoupledRandomSeed, random_seed), (CoupledP2P, p2p), (CoupledRFInversion, rf_inversion)],
)
def test_a_node_with_its_defaults_is_its_baseline(mini, node, baseline):
    inputs = {
        i.id: i.default
        for i in node.define_schema().inputs
        if getattr(i, "default", None) is not None
    }
    model, clip = mini
    inputs.update(
        model=model,
        clip=clip,
        prompts="\n\n".join(PROMPTS[:2]),
        latent_image=empty(),
        seed=SEED,
        steps=4,
    )
    (latent,) = node.execute(**inputs).result
    assert torch.equal(latent["samples"], run(baseline, mini, steps=4))


@pytest.mark.parametrize("node", NODES)
def test_the_contract(node):
    schema = node.define_schema()
    assert schema.category == "coupled/baselines" and schema.node_id == node.__name__
    defaults = {i.id: getattr(i, "default", None) for i in schema.inputs}
    assert list(defaults)[:9] == [
        "model",
        "clip",
        "prompts",
        "latent_image",
        "seed",
        "steps",
        "sampler_name",
        "scheduler",
        "guidance",
    ]
    assert (defaults["steps"], defaults["guidance"]) == (50, 3.5)
    knobs = {k: v for k, v in list(defaults.items())[9:]}
    assert (
        knobs
        == {
            "CoupledRandomSeed": {},
            "CoupledP2P": {"cross_replace": 0.8, "self_replace": 0.4},
            "CoupledRFInversion": {"gamma": 0.5, "eta": 0.9, "start": 0, "stop": -1},
        }[node.__name__]
    )
    assert all(i.tooltip for i in schema.inputs) and [o.display_name for o in schema.outputs] == [
        "latent"
    ]
