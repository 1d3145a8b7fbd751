"""What each image of a set has of its own stays its own in any passes, and after it was taken out
of the batch.
"""

import comfy.sample
import pytest
import torch

from coupled.attention import couple_conditioning, select_images
from coupled.sampling import couple, draw_shared_noise, sample_set
from coupled.schedules import constant, sin

from tiny import count_calls, tiny_conditioning, tiny_controlnet, tiny_coupled, tiny_flux

N, STEPS, SEED = 3, 4, 7
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(autouse=True)
def as_the_host_runs():
    with torch.inference_mode():
        yield


@pytest.fixture(scope="module")
def stock():
    return tiny_flux(gain=0.5)


@pytest.fixture(scope="module")
def local(stock):
    return couple(stock, sin(center=1, k=0.8, reference_steps=STEPS), "local")


@pytest.fixture(scope="module")
def exact(stock):
    return couple(stock, sin(center=1, k=0.8, reference_steps=STEPS), "exact")


@pytest.fixture(scope="module")
def positive():
    return tiny_coupled(N)


def random(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def empty(n=N):
    return {"samples": torch.zeros(n, 16, 8, 12)}


def samples(model, positive, latent=None, **options):
    return sample_set(model, positive, latent or empty(), SEED, STEPS, **options)["samples"]


def close(a, b):
    """Within rounding, which grows from step to step where a plate leads; a wrong plate is 100
    times further away.
    """
    torch.testing.assert_close(a, b, rtol=0, atol=1e-4 * max(1.0, b.std().item()))


def parts_alike(model, *args, **options):
    """Whether one pass, two passes and three give the same images; returns them."""
    whole = samples(model, *args, **options)
    for size in (1, 2):
        close(samples(model, *args, images_per_pass=size, **options), whole)
    return whole


def changed(conditioning, **values):
    return [[context, {**old, **values}] for context, old in conditioning]


def hinted(hints, masks):
    """A ControlNet for inpainting: its hint, a latent, holds a mask as one more channel."""
    _, control = tiny_controlnet(latent_input=True, control_latent_channels=17)
    control.compression_ratio, control.concat_mask = 1, True
    return control.set_cond_hint(hints, extra_concat=[masks])


def test_in_local_all_passes_have_the_first_image_s_plate(local, positive):
    """The plate has image 0's mask: another's would make another plate."""
    latent = {
        "samples": random(1, 16, 8, 12, seed=1),
        "noise_mask": random(N, 1, 64, 96, seed=2).round(),
    }
    seen = []
    whole = parts_alike(
        local,
        positive,
        latent,
        callback=lambda images, step, x0, x, total: seen.append((len(images), len(x0), len(x))),
    )
    other = {**latent, "noise_mask": latent["noise_mask"].flip(0)}
    flipped = samples(local, select_images(positive, [2, 1, 0]), other)
    assert (flipped[1] - whole[1]).abs().max() > 1e-2  # or the plate does not count here
    assert {(N, N, N), (1, 1, 1), (2, 2, 2)} == set(seen)


def test_in_local_reference_latents_of_the_images_stay_theirs(local, positive):
    reference = changed(positive, reference_latents=[random(N, 16, 8, 12, seed=4)])
    parts_alike(local, reference)


def test_in_local_a_negative_of_its_own_for_each_image_stays_its_own(local, positive):
    parts_alike(local, positive, negative=tiny_conditioning(6, batch=N, seed=90), cfg=2.0)


def test_in_local_hints_of_the_images_stay_theirs(local, positive):
    _, control = tiny_controlnet()
    control.set_cond_hint(random(N, 3, 64, 96, seed=5))
    parts_alike(local, changed(positive, control=control))


def test_a_pass_that_was_halved_keeps_the_plate(local, positive, monkeypatch):
    import coupled.sampling.passes as passes

    latent = {"samples": random(1, 16, 8, 12), "noise_mask": random(N, 1, 64, 96, seed=2).round()}
    whole = samples(local, positive, latent)
    monkeypatch.setattr(passes, "first_size", lambda model, shape: 1)
    close(samples(local, positive, latent), whole)


@pytest.mark.parametrize("rows, calls", [(1, [3, 2]), (N, [3, 2])])
def test_images_that_start_alike_cost_no_further_row(local, positive, rows, calls):
    model, seen = count_calls(local)
    mask = torch.ones(rows, 64, 96).tril()
    samples(model, positive, {**empty(rows), "noise_mask": mask}, images_per_pass=2)
    assert seen == [size for size in calls for _ in range(STEPS)]


def test_entities_of_different_lengths_cost_no_further_row(local):
    texts = [tiny_conditioning(tokens, seed=tokens) for tokens in (5, 7, 4, 9)]
    model, seen = count_calls(local)
    samples(model, couple_conditioning(texts[0], texts[1:]), images_per_pass=2)
    assert seen == [size for size in (3, 2) for _ in range(STEPS)]


def test_images_that_start_differently_cost_one_row_in_each_later_pass(local, exact, positive):
    latent = {**empty(), "noise_mask": random(N, 1, 64, 96, seed=2).round()}
    for model, calls in ((local, [3, 3]), (exact, [2, 1])):
        model, seen = count_calls(model)
        samples(model, positive, latent, images_per_pass=2)
        assert seen == [size for size in calls for _ in range(STEPS)]


@pytest.mark.parametrize("mode", ["exact", "local"])
@pytest.mark.parametrize("hints, masks", [(N, N), (N, 1), (N, 2), (1, 1), (1, N), (2, N)])
def test_masks_of_an_inpainting_controlnet_follow_their_images(
    request, positive, mode, hints, masks
):
    control = hinted(random(hints, 16, 8, 12, seed=5), random(masks, 1, 64, 96, seed=6).round())
    parts_alike(request.getfixturevalue(mode), changed(positive, control=control))


# --- taken out of the batch ---


def picked(latent, i):
    import nodes

    return nodes.LatentFromBatch().frombatch(latent, i, 1)[0]


def test_an_image_taken_out_of_a_set_gets_the_same_noise_again(exact, positive):
    made = sample_set(exact, positive, empty(1), SEED, STEPS)
    assert made["batch_index"] == [0] * N
    second = samples(exact, positive, made, denoise=0.5)
    without = {"samples": made["samples"]}
    assert torch.equal(second, samples(exact, positive, without, denoise=0.5))
    first_noise = comfy.sample.prepare_noise(empty(1)["samples"], SEED)
    for i in range(N):
        one = picked(made, i)
        assert one["batch_index"] == [0]
        assert torch.equal(draw_shared_noise(one, SEED, 1), first_noise)
        alone = samples(exact, select_images(positive, [i]), one, denoise=0.5)
        close(alone, second[i : i + 1])


def test_the_host_s_own_second_pass_of_one_image_has_that_noise(exact, positive):
    import nodes

    made = sample_set(exact, positive, empty(1), SEED, STEPS)
    second = samples(exact, positive, made, denoise=0.5)
    theirs = nodes.common_ksampler(
        exact,
        SEED,
        STEPS,
        1.0,
        "euler",
        "simple",
        select_images(positive, [2]),
        tiny_conditioning(6, seed=90),
        picked(made, 2),
        denoise=0.5,
    )[0]["samples"]
    close(theirs, second[2:])


def test_one_image_repeated_into_a_set_has_that_noise(exact, positive):
    import nodes

    made = sample_set(exact, positive, empty(1), SEED, STEPS)
    many = nodes.RepeatLatentBatch().repeat(picked(made, 1), N)[0]
    one = picked(made, 1)
    assert torch.equal(
        samples(exact, positive, many, denoise=0.5), samples(exact, positive, one, denoise=0.5)
    )


def test_another_noise_is_named_by_its_place(exact, positive):
    made = sample_set(exact, positive, {**empty(), "batch_index": [4, 5, 6]}, SEED, STEPS)
    assert picked(made, 2)["batch_index"] == [4]


# --- latents that do not fit ---


def by_ksampler(model, positive, latent):
    import nodes

    negative = tiny_conditioning(6, seed=90)
    return nodes.common_ksampler(
        model, SEED, STEPS, 1.0, "euler", "simple", positive, negative, latent
    )


@pytest.mark.parametrize("run", [samples, by_ksampler])
@pytest.mark.parametrize(
    "shape, words",
    [
        ((N, 16, 1, 8, 12), "one of videos, with 5 axes.*takes 4.*Empty Latent Image"),
        ((N, 16, 5, 8, 12), "one of videos, with 5 axes"),
        ((N, 4, 8, 12), "has 4 channels.*takes 16"),
        ((N, 16, 1, 1), "larger latent, or mode exact.*1 × 1"),
    ],
)
def test_a_latent_that_does_not_fit_is_named(local, positive, run, shape, words):
    model, calls = count_calls(local)
    with pytest.raises(ValueError, match=words):
        run(model, positive, {"samples": torch.ones(shape)})
    assert calls == []


@pytest.mark.parametrize("shape", [(1, 16, 1, 1), (1, 16, 1, 2), (1, 16, 3, 1)])
def test_a_very_small_latent_works_where_it_can(stock, positive, shape):
    for mode in ("exact", "local"):
        if shape[2:] == (1, 1) and mode == "local":
            continue
        made = samples(
            couple(stock, constant(0.5), mode), positive, {"samples": torch.zeros(shape)}
        )
        assert made.shape == (N, *shape[1:]) and made.isfinite().all()
