"""Candidates share the beginning of their work, and their images are those of a run of its own, bit
for bit.
"""

import pytest
import torch
from comfy.patcher_extension import WrappersMP

from coupled.attention.report import Report
from coupled.mini.model import load_mini
from coupled.optimize.fingerprint import fingerprint
from coupled.optimize.painter import Painter, Settings
from coupled.optimize.prefixes import Prefixes
from coupled.optimize.sets import parse_sets
from coupled.sampling import couple, decode_set, sample_set
from coupled.schedules import constant, from_values

TEXT = (
    "A cat sits in a meadow.\nA dog plays in a meadow.\n\nAn owl sits on a beach.\nA fox runs on"
    " a beach."
)
STEPS = 6


@pytest.fixture(scope="module")
def mini():
    return load_mini()


def painter(mini, prefixes=None, seeds=(3, 4), **settings):
    latent = {"samples": torch.zeros(1, 16, 16, 16)}
    return Painter(*mini, parse_sets(TEXT), seeds, latent, Settings(STEPS, **settings), prefixes)


def table(*values):
    return from_values(values)[0]


def alone(one, instance, theta, report=None):
    """What Coupled Sampler makes of it."""
    model = couple(one.model, theta, one.settings.mode)
    return sample_set(
        model,
        one.conditioning(instance[0]),
        one.latent,
        one.seeds[instance[1]],
        STEPS,
        one.settings.sampler_name,
        report=report,
    )["samples"]


@pytest.mark.parametrize("mode", ["exact", "paper", "local"])
def test_shared_beginnings_change_no_bit(mini, mode):
    one, instance = painter(mini, mode=mode), (1, 1)
    saved = []
    for values in (
        [0, 0, 0, 1, 1, 1],
        [0, 0, 0.5, 0.5, 1, 1],
        [0, 0, 0.5, 0.5, 0.6, 0.7],
        [0, 0, 0, 1, 1, 1],
        [0.1, 0.2, 0.3, 0.4, 0.5, 0.6],
    ):
        theta, before = table(*values), one.calls.saved
        assert torch.equal(one.sample(instance, theta), alone(one, instance, theta))
        saved.append(one.calls.saved - before)
    assert saved == [0, 2, 4, 5, 0] and one.calls.made + one.calls.saved == 5 * STEPS


def test_only_the_same_set_and_seed_share(mini):
    one, theta = painter(mini), table(0, 0, 0, 0, 0, 1)
    images = [one.sample(instance, theta) for instance in one.instances]
    assert one.calls.saved == 0 and one.instances == [(0, 0), (1, 0), (0, 1), (1, 1)]
    assert not any(torch.equal(images[0], other) for other in images[1:])
    assert torch.equal(images[1], alone(one, (1, 0), theta))


def test_samplers_with_memory_share_nothing(mini):
    one = painter(mini, sampler_name="dpmpp_2m")
    one.sample((0, 0), table(0, 0, 0, 0, 0, 0.5))
    theta = table(0, 0, 0, 0, 0, 1)
    assert torch.equal(one.sample((0, 0), theta), alone(one, (0, 0), theta))
    assert one.calls.saved == 0 and not one.prefixes.latents


def test_a_model_that_others_have_wrapped_shares_nothing(mini):
    model = mini[0].clone()
    model.add_wrapper_with_key(
        WrappersMP.DIFFUSION_MODEL, "cache", lambda executor, *a, **k: executor(*a, **k)
    )
    assert not painter((model, *mini[1:])).shares and painter(mini).shares


def test_a_pass_that_finds_no_memory_is_halved(mini):
    seen = []

    def take_one_row(executor, x, *args, **kwargs):
        seen.append(len(x))
        if len(x) > 1:
            raise torch.OutOfMemoryError("not enough memory")
        return executor(x, *args, **kwargs)

    model = mini[0].clone()
    model.add_wrapper_with_key(WrappersMP.DIFFUSION_MODEL, "small", take_one_row)
    theta = constant(0.5)
    found = painter((model, *mini[1:]), mode="exact").sample((0, 0), theta)
    assert seen == [2, *[1] * 2 * STEPS]
    assert torch.allclose(found, painter(mini, mode="exact").sample((0, 0), theta), atol=1e-4)


def test_callback_counts_steps_of_the_whole_run(mini):
    one, seen = painter(mini), []
    one.sample((0, 0), table(0, 0, 0, 0, 1, 1))
    one.sample(
        (0, 0), table(0, 0, 0, 0, 0.5, 1), lambda step, x0, x, total: seen.append((step, total))
    )
    assert seen == [(4, STEPS), (5, STEPS)]


def test_images_are_those_of_decode_coupled_set_at_8_bits(mini):
    one, report = painter(mini), Report()
    images = one.paint((0, 0), constant(1))
    latent = {"samples": alone(one, (0, 0), constant(1), report)}
    plate, masks = {"samples": report.plate()}, report.masks(8)
    decoded, _ = decode_set(latent, mini[2], plate, masks)
    assert images.shape == (2, 128, 128, 3) and torch.equal((images * 255).round() / 255, images)
    assert (images - decoded.clamp(0, 1)).abs().max() <= 0.51 / 255


def test_memory_is_bounded_and_keeps_the_zeros():
    prefixes, latent = Prefixes(memory=3 * 40), torch.zeros(10)
    for thetas in ([0.0], [0.0, 0.0], [0.5], [0.5, 0.6], [0.7]):
        prefixes.keep("a", thetas, latent)
    assert [key[1] for key in prefixes.latents] == [
        (0.0,),
        (0.0, 0.0),
        (0.7,),
    ] and prefixes.used == 120
    assert prefixes.longest("a", [0.0, 0.0, 0.0, 1.0])[0] == 2
    assert prefixes.longest("b", [0.0, 0.0]) == (0, None, None)


def test_what_was_used_lately_is_kept():
    prefixes, latent = Prefixes(memory=2 * 40), torch.zeros(10)
    prefixes.keep("a", [0.5], latent)
    prefixes.keep("a", [0.6], latent)
    prefixes.longest("a", [0.5, 1.0])
    prefixes.keep("a", [0.7], latent)
    assert [key[1] for key in prefixes.latents] == [(0.5,), (0.7,)]


def test_a_kept_latent_is_a_copy():
    prefixes, latent = Prefixes(), torch.zeros(10)
    prefixes.keep("a", [0.0], latent)
    latent += 1
    assert prefixes.longest("a", [0.0, 1.0])[1].sum() == 0


def test_coarser_has_fewer_steps_and_pixels(mini):
    one = painter(mini).coarser(0.5)
    assert one.settings.steps == 4 and one.latent["samples"].shape == (1, 16, 8, 8)
    assert one.paint((0, 0), constant(0.5)).shape == (2, 64, 64, 3)


def test_pictures_of_another_size_share_nothing_though_they_have_as_many_steps(mini):
    latent = {"samples": torch.zeros(1, 16, 16, 16)}
    fine, fresh = (Painter(*mini, parse_sets(TEXT), [3], latent, Settings(4)) for _ in range(2))
    coarse, theta = fine.coarser(0.5), table(0, 0, 0.5, 1)
    assert coarse.settings.steps == 4 and coarse.sample((0, 0), theta).shape[-1] == 8
    assert torch.equal(fine.sample((0, 0), theta), fresh.sample((0, 0), theta))


def test_unfit_inputs_are_told(mini):
    with pytest.raises(ValueError, match="unpatched"):
        painter((couple(mini[0], constant(0)), *mini[1:]))
    with pytest.raises(ValueError, match="^Load a VAE"):
        painter((*mini[:2], None))
    with pytest.raises(ValueError, match="batch_size to 1"):
        Painter(*mini, parse_sets(TEXT), [1], {"samples": torch.zeros(2, 16, 16, 16)}, Settings())
    with pytest.raises(ValueError, match="no sampler"):
        painter(mini, sampler_name="eurler")
    with pytest.raises(ValueError, match="entity_text"):
        painter(mini, entity_text="both")


def test_identity_changes_with_what_changes_the_images(mini):
    same = painter(mini).identity
    others = [
        painter(mini, seeds=(3, 5)),
        painter(mini, mode="paper"),
        painter(mini, entity_text="full prompt"),
    ]
    assert painter(mini).identity == same and same not in [other.identity for other in others]


def test_fingerprint_knows_weights_and_loras(mini):
    model = mini[0].clone()
    assert fingerprint(model) == fingerprint(mini[0])
    name = next(iter(model.model.state_dict()))
    model.add_patches({name: (torch.zeros_like(model.model.state_dict()[name]),)}, 0.5)
    assert fingerprint(model) != fingerprint(mini[0])
    other = mini[0].clone()  # another LoRA of the same layers and strength
    other.add_patches({name: (torch.ones_like(model.model.state_dict()[name]),)}, 0.5)
    assert fingerprint(other) != fingerprint(model)


def test_sets_are_parted_by_blank_lines():
    first, second = parse_sets("\n" + TEXT + "\n \n\n")
    assert first.background == "A meadow." and second.entities == ("An owl sits.", "A fox runs.")


@pytest.mark.parametrize(
    "text, words",
    [
        ("", "no prompt sets"),
        ("A cat in a park.\n\nA dog in a park.", "Set 1 has one prompt"),
        (TEXT + "\n\nA cat.\nThe sea is blue.", "Set 3"),
    ],
)
def test_unfit_sets_are_told(text, words):
    with pytest.raises(ValueError, match=words):
        parse_sets(text)
