"""Only the regions of a set are computed: the same as whole pictures, whatever else is sampled with
them; and whole pictures where something needs them.
"""

import gc
import weakref

import comfy.model_management
import pytest
import torch

import coupled.attention.call as call
import coupled.attention.layout as layout_room
from coupled.attention import select_images
from coupled.attention.partly import Positions, spread_out, to_strip, to_tokens
from coupled.attention.plate_run import PLATE, PlateRun
from coupled.attention.report import Report
from coupled.attention.strips import Strips, choose_width, cost_of_strips, make_strips
from coupled.sampling import couple, sample_set
from coupled.schedules import constant, sin, step01

from compare import relative_error
from tiny import tiny_conditioning, tiny_controlnet, tiny_coupled, tiny_flux

N, STEPS, SEED = 3, 6, 7
HEIGHT, WIDTH = 16, 24
THETA = sin(center=1.5, k=0.8, reference_steps=STEPS)


@pytest.fixture(scope="module")
def model():
    return tiny_flux(gain=0.5)


@pytest.fixture(scope="module")
def positive():
    return tiny_coupled(N)


@pytest.fixture
def layouts(monkeypatch):
    """What kinds of layouts the calls had."""
    seen, choose = [], call.choose_layout

    def spy(*args):
        layout = choose(*args)
        seen.append(type(layout).__name__)
        return layout

    monkeypatch.setattr(call, "choose_layout", spy)
    return seen


def boxes():
    """Where three entities may stand, in pixels; of three sizes, the last at the edge."""
    masks = torch.zeros(N, 8 * HEIGHT, 8 * WIDTH)
    masks[0, 20:60, 32:80] = 1
    masks[1, 50:120, 100:120] = 1
    masks[2, 0:30, 0:60] = 1
    return masks


def empty(height=HEIGHT, width=WIDTH):
    return {"samples": torch.zeros(1, 16, height, width)}


def run(model, positive, theta=THETA, regions=None, latent=None, plate=None, **options):
    """Samples [n, C, H, W] of mode local."""
    regions = boxes() if regions is None else regions
    coupled = couple(model, theta, "local", plate, regions)
    latent = latent or empty()
    return sample_set(coupled, positive, latent, SEED, STEPS, **options)["samples"]


# --- tensors ---


def some_strips(sets=2, S=12):
    region = torch.zeros(2, S, dtype=torch.bool)
    region[0, [1, 5, 6]] = True
    region[1, [0, 3, 7, 9, 11]] = True
    strips = make_strips(region, 5)
    return strips, region, torch.randn(sets * 3, S, 4)


def test_strips_go_out_and_come_back():
    strips, region, whole = some_strips()
    assert strips.shape == (2, 5, 3) and strips.gather(whole).shape == (2 * 5, 5, 4)
    back = strips.spread(strips.gather(whole)).unflatten(0, (2, 3))
    expected = whole.unflatten(0, (2, 3)).clone()
    expected[:, :2] = torch.where(region[:, :, None], expected[:, :2], expected[:, 2:])
    assert torch.equal(back, expected)


def test_rows_name_the_whole_row_of_each_strip():
    strips, _, whole = some_strips()
    assert strips.rows(6).tolist() == [0, 1, 2, 2, 2, 3, 4, 5, 5, 5]


@pytest.mark.parametrize("height, width", [(4, 6), (5, 7)])
def test_pixels_go_through_a_strip_of_all_tokens(height, width):
    x = torch.randn(2, 3, height, width)
    tokens = to_tokens(x, 2)
    S = tokens.shape[1]
    strips = make_strips(torch.ones(1, S, dtype=torch.bool), S)
    strip = to_strip(strips.gather(tokens))
    assert strip.shape == (2, 3, 2, 2 * S)
    assert torch.equal(spread_out(strips, strip, 2, height, width), x)


def test_the_width_is_the_one_that_costs_least():
    for n in (1, 2, 8):
        for least in (1, 100, 1000, 1500, 3000):
            width = choose_width(least, n, 256, 4096)
            assert width >= least
            costs = [cost_of_strips(K, n, 256, 4096) for K in range(least, 4097)]
            assert cost_of_strips(width, n, 256, 4096) == min(costs)
    assert choose_width(0, 2, 256, 4096) >= 1


# --- the same as whole pictures ---


@pytest.mark.parametrize("theta", [THETA, step01(2, STEPS), constant(0.5), constant(1.0)])
@pytest.mark.parametrize("negative", [None, "ordinary", "coupled"])
def test_strips_give_what_whole_pictures_give(
    model, positive, layouts, monkeypatch, theta, negative
):
    texts = {"ordinary": tiny_conditioning(6, seed=90), "coupled": tiny_coupled(N, seed=40)}
    options = {} if negative is None else {"negative": texts[negative], "cfg": 2.0}
    partly = run(model, positive, theta, **options)
    assert "Strips" in layouts
    layouts.clear()
    monkeypatch.setattr(layout_room, "find_obstacle", lambda *_: "a test")
    whole = run(model, positive, theta, **options)
    assert "Strips" not in layouts and "Injection" in layouts
    assert relative_error(partly, whole) <= 1e-5
    assert (partly[0] != partly[1]).any() and (partly[1] != partly[2]).any()


@pytest.mark.parametrize("tokens", [(5, 7, 4), (6, 6, 6)], ids=["uneven", "even"])
def test_texts_of_any_lengths(model, layouts, monkeypatch, tokens):
    """The background's and the entities', which at theta 1 stand in rows of one length."""
    from coupled.attention import couple_conditioning

    texts = [tiny_conditioning(length, seed=length + i) for i, length in enumerate(tokens)]
    positive = couple_conditioning(tiny_conditioning(6, seed=70), texts)
    partly = run(model, positive)
    assert "Strips" in layouts
    monkeypatch.setattr(layout_room, "find_obstacle", lambda *_: "a test")
    assert relative_error(partly, run(model, positive)) <= 1e-5


@pytest.mark.parametrize("height, width", [(17, 23), (16, 25)])
def test_odd_sizes(model, positive, layouts, monkeypatch, height, width):
    partly = run(model, positive, latent=empty(height, width))
    assert "Strips" in layouts and partly.shape == (N, 16, height, width)
    monkeypatch.setattr(layout_room, "find_obstacle", lambda *_: "a test")
    assert relative_error(partly, run(model, positive, latent=empty(height, width))) <= 1e-5


def test_in_bfloat16_strips_are_as_near_as_whole_pictures(positive, monkeypatch):
    fine, coarse = tiny_flux(gain=0.5), tiny_flux(gain=0.5, dtype=torch.bfloat16)
    expected, partly = run(fine, positive), run(coarse, positive)
    monkeypatch.setattr(layout_room, "find_obstacle", lambda *_: "a test")
    whole = run(coarse, positive)
    assert relative_error(partly, expected) <= 1.5 * relative_error(whole, expected) < 0.2


# --- any passes, any order, runs that are broken off or go on beside each other ---


@pytest.mark.parametrize("sampler_name", ["euler", "heun", "dpm_2", "dpmpp_2m", "dpmpp_2m_sde"])
def test_an_image_does_not_hang_on_the_size_of_the_others(model, positive, layouts, sampler_name):
    whole = run(model, positive, sampler_name=sampler_name)
    assert "Strips" in layouts
    for size in (1, 2):
        parts = run(model, positive, sampler_name=sampler_name, images_per_pass=size)
        assert relative_error(parts, whole) <= 1e-5
    order = [2, 0, 1]
    turned = run(
        model, select_images(positive, order), regions=boxes()[order], sampler_name=sampler_name
    )
    assert relative_error(turned, whole[order]) <= 1e-5


def test_regions_that_were_found_are_the_same_in_any_passes(model, positive):
    everywhere = torch.ones(1, 1, 1)
    whole = run(model, positive, regions=everywhere)
    for size in (1, 2):
        assert (
            relative_error(run(model, positive, regions=everywhere, images_per_pass=size), whole)
            <= 1e-5
        )


def test_a_run_that_was_broken_off_leaves_nothing(model, positive, monkeypatch):
    made = []
    begin = PlateRun.__init__

    def remember(self, *args):
        made.append(weakref.ref(self))
        begin(self, *args)

    monkeypatch.setattr(PlateRun, "__init__", remember)
    coupled = couple(model, THETA, "local", regions=boxes())
    before = repr(coupled.model_options)
    expected = sample_set(coupled, positive, empty(), SEED, STEPS)["samples"]

    def stop(images, step, x0, x, total):
        if step == 3:
            comfy.model_management.interrupt_current_processing()

    with pytest.raises(comfy.model_management.InterruptProcessingException):
        sample_set(coupled, positive, empty(), SEED, STEPS, callback=stop)
    gc.collect()
    assert len(made) == 2 and not any(ref() for ref in made)
    assert repr(coupled.model_options) == before and PLATE not in before
    assert torch.equal(sample_set(coupled, positive, empty(), SEED, STEPS)["samples"], expected)


def test_two_runs_beside_each_other_are_as_alone(model, positive):
    """One within a step of the other, through the very same wrappers. (The host samples a model
    once at a time: so the second one is a twin.)
    """
    coupled, twin = couple(model, THETA, "local", regions=boxes()), tiny_flux(gain=0.5)
    twin.wrappers = coupled.wrappers
    other = tiny_coupled(N, seed=33)
    alone = [
        sample_set(coupled, texts, empty(), SEED, STEPS)["samples"] for texts in (positive, other)
    ]
    inner = []

    def between(images, step, x0, x, total):
        if step == 2:
            inner.append(sample_set(twin, other, empty(), SEED, STEPS)["samples"])

    outer = sample_set(coupled, positive, empty(), SEED, STEPS, callback=between)["samples"]
    assert torch.equal(outer, alone[0]) and torch.equal(inner[0], alone[1])


# --- whole pictures where something needs them ---


def reasons(model, positive, **options):
    report = Report()
    out = run(model, positive, report=report, **options)
    return out, [reason for one in report.passes for reason in one.reasons]


def test_another_packs_attention_gets_whole_pictures_and_the_same_result(model, positive, layouts):
    expected = run(model, positive)
    hooked = model.clone()
    hooked.model_options["transformer_options"]["optimized_attention_override"] = (
        lambda func, *args, **kwargs: func(*args, **kwargs)
    )
    layouts.clear()
    out, why = reasons(hooked, positive)
    assert "Strips" not in layouts and why == ["another node has an attention of its own"]
    assert relative_error(out, expected) <= 1e-5


def test_controlnet_and_reference_latents_get_whole_pictures(model, positive, layouts):
    _, control = tiny_controlnet()
    control.set_cond_hint(torch.rand(1, 3, 128, 192, generator=torch.Generator().manual_seed(3)))
    controlled = [[c, {**v, "control": control}] for c, v in positive]
    out, why = reasons(model, controlled)
    assert why == ["a ControlNet knows whole pictures only"] and outside_is_one(out)
    referring = [[c, {**v, "reference_latents": [torch.ones(1, 16, 8, 8)]}] for c, v in positive]
    out, why = reasons(model, referring)
    assert why == ["reference latents count as a part of the picture"] and outside_is_one(out)
    assert "Strips" not in layouts


def outside_is_one(out, regions=None):
    regions = boxes() if regions is None else regions
    own = torch.nn.functional.interpolate(regions[None], scale_factor=1 / 16, mode="area")[0] > 0
    own = own.repeat_interleave(2, 1).repeat_interleave(2, 2).any(0)
    return torch.equal(out[:, :, ~own], out[:1, :, ~own].expand(len(out), -1, -1))


def test_where_a_part_saves_nothing_whole_pictures_run(model, positive, layouts):
    regions = torch.ones(1, 16, 16)
    regions[:, :, 0] = 0
    _, why = reasons(model, positive, regions=regions, theta=constant(1.0))
    assert why == ["the subjects take so much of the picture that a part would save nothing"]


def test_a_host_that_hands_no_positions_over_runs_whole_pictures(
    model, positive, layouts, monkeypatch
):
    expected = run(model, positive)
    monkeypatch.setattr(Positions, "__call__", lambda self, args: args)
    layouts.clear()
    out, why = reasons(model, positive)
    assert why == ["this version of ComfyUI hands no positions over"]
    assert layouts.count("Strips") == 1 and relative_error(out, expected) <= 1e-5


def test_strips_are_what_the_layouts_are_without_obstacles(model, positive, layouts):
    _, why = reasons(model, positive)
    assert why == [] and layouts.count("Strips") >= 3
    assert isinstance(some_strips()[0], Strips)
