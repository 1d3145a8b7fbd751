"""A coupled set on the host's samplers: one noise, any parting into passes, any sampler, the host's
own nodes.
"""

import gc
import weakref

import comfy.model_management
import comfy.patcher_extension
import comfy.samplers
import pytest
import torch

from coupled.attention import coupled_mode, select_images
from coupled.nodes.sampling import NODES, CoupledNoise, CoupledSampler
from coupled.sampling import couple, draw_shared_noise, sample_set
from coupled.sampling.passes import first_size
from coupled.schedules import constant, sin

from tiny import tiny_conditioning, tiny_coupled, tiny_flux

N, STEPS, SEED = 3, 4, 7
STOCHASTIC = ["euler_ancestral", "dpmpp_sde", "dpmpp_2m_sde"]
NO_SET = {"dpm_adaptive"}
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(autouse=True)
def as_the_host_runs():
    with torch.inference_mode():
        yield


@pytest.fixture(scope="module")
def stock():
    """Near to a trained model: at a gain of 1 rounding errors grow from step to step."""
    return tiny_flux(gain=0.5)


@pytest.fixture(scope="module", params=["exact", "local"])
def model(stock, request):
    return couple(stock, sin(center=2, k=0.8, reference_steps=STEPS), request.param)


@pytest.fixture(scope="module")
def exact(stock):
    """Without a plate: a call has as many rows as there are images."""
    return couple(stock, sin(center=2, k=0.8, reference_steps=STEPS), "exact")


@pytest.fixture(scope="module")
def positive():
    return tiny_coupled(N)


@pytest.fixture(scope="module")
def negative():
    return tiny_conditioning(6, seed=90)


def empty(n=N):
    return {"samples": torch.zeros(n, 16, 8, 12)}


def noisy(n=N, seed=3):
    return {"samples": torch.randn(n, 16, 8, 12, generator=torch.Generator().manual_seed(seed))}


def samples(model, positive, latent=None, **options):
    options = {"seed": SEED, "steps": STEPS, **options}
    return sample_set(model, positive, latent or empty(), **options)["samples"]


def host_ksampler(model, positive, negative, latent, sampler_name, cfg=1.0, seed=SEED, **options):
    import nodes

    return nodes.common_ksampler(
        model, seed, STEPS, cfg, sampler_name, "simple", positive, negative, latent, **options
    )[0]["samples"]


def close(a, b):
    """Within 1e-5 of the scale of the latents: kernels round differently for different batches."""
    torch.testing.assert_close(a, b, rtol=0, atol=1e-5 * max(1.0, b.std().item()))


# One image, whatever else is made with it


# uni_pc writes into the sigmas it is given.
@pytest.mark.parametrize("sampler_name", ["euler", "heun", "uni_pc", *STOCHASTIC])
def test_any_parting_gives_the_same_images(model, positive, sampler_name):
    whole = samples(model, positive, sampler_name=sampler_name)
    assert (whole[0] - whole[1]).abs().max() > 1e-2, (
        "a set of different images, or this test shows nothing"
    )
    for size in (1, 2):
        close(samples(model, positive, sampler_name=sampler_name, images_per_pass=size), whole)
    order = [2, 0, 1]
    close(samples(model, select_images(positive, order), sampler_name=sampler_name), whole[order])
    close(
        samples(model, select_images(positive, [1]), empty(1), sampler_name=sampler_name),
        whole[1:2],
    )


def test_different_latents_and_masks_of_the_images_stay_theirs(exact, positive):
    mask = torch.rand(N, 1, 64, 96, generator=torch.Generator().manual_seed(0)).round()
    latent = {**noisy(), "noise_mask": mask}
    for sampler_name in ("euler", "ddim", "euler_ancestral"):
        whole = samples(exact, positive, latent, sampler_name=sampler_name, denoise=0.7)
        close(
            samples(
                exact, positive, latent, sampler_name=sampler_name, denoise=0.7, images_per_pass=2
            ),
            whole,
        )
        for i in range(N):
            one = {"samples": latent["samples"][i : i + 1], "noise_mask": mask[i : i + 1]}
            alone = samples(
                exact, select_images(positive, [i]), one, sampler_name=sampler_name, denoise=0.7
            )
            close(alone, whole[i : i + 1])


def test_a_latent_of_one_serves_all(model, positive):
    one = noisy(1)
    many = {"samples": one["samples"].repeat(N, 1, 1, 1)}
    mask = {"noise_mask": torch.ones(1, 64, 96)}
    close(
        samples(model, positive, {**one, **mask}, denoise=0.5, images_per_pass=2),
        samples(model, positive, many, denoise=0.5),
    )


def test_a_seed_decides(model, positive):
    first, again, other = (
        samples(model, positive, seed=s, sampler_name="euler_ancestral") for s in (1, 1, 2)
    )
    assert torch.equal(first, again) and not torch.equal(first, other)


@pytest.mark.parametrize("sampler_name", comfy.samplers.KSampler.SAMPLERS)
def test_with_theta_0_all_images_are_one_with_every_sampler(
    stock, positive, negative, sampler_name
):
    model = couple(stock, constant(0.0))  # sample_set shares the noise by itself
    if sampler_name in NO_SET:
        with pytest.raises(ValueError, match=sampler_name):
            samples(model, positive, sampler_name=sampler_name)
        return
    result = samples(model, positive, sampler_name=sampler_name, negative=negative)
    assert torch.equal(result, result[:1].expand_as(result))
    assert result.std() > 1e-3


@pytest.mark.parametrize(
    "sampler_name", [s for s in comfy.samplers.KSampler.SAMPLERS if s not in NO_SET]
)
def test_a_set_of_one_is_what_the_host_makes_of_it(stock, positive, negative, sampler_name):
    plain = couple(stock, sin(center=2, reference_steps=STEPS), "exact")
    one = select_images(positive, [1])
    mask = {"noise_mask": torch.ones(1, 64, 96).tril()}
    theirs = host_ksampler(plain, one, negative, {**noisy(1), **mask}, sampler_name, denoise=0.8)
    ours = samples(
        plain, one, {**noisy(1), **mask}, sampler_name=sampler_name, negative=negative, denoise=0.8
    )
    assert torch.equal(ours, theirs)


# The host's own nodes


@pytest.mark.parametrize("sampler_name", ["euler", "ddim", *STOCHASTIC])
def test_the_hosts_ksampler_gives_the_same_set(model, positive, negative, sampler_name):
    start = (
        noisy(1)["samples"].repeat(N, 1, 1, 1)
        if coupled_mode(model).has_plate
        else noisy()["samples"]
    )
    latent = {"samples": start, "noise_mask": torch.ones(1, 64, 96).tril()}
    theirs = host_ksampler(model, positive, negative, latent, sampler_name)
    assert torch.equal(
        theirs, samples(model, positive, latent, sampler_name=sampler_name, negative=negative)
    )


def test_cfg_with_an_ordinary_negative(model, positive, negative):
    theirs = host_ksampler(model, positive, negative, empty(), "euler", cfg=3.0)
    ours = samples(model, positive, negative=negative, cfg=3.0)
    assert torch.equal(theirs, ours)
    close(samples(model, positive, negative=negative, cfg=3.0, images_per_pass=1), ours)
    assert (ours - samples(model, positive)).abs().max() > 1e-2


def test_a_negative_may_be_coupled_too(model, positive):
    negative = tiny_coupled(N, seed=50)
    ours = samples(model, positive, negative=negative, cfg=2.0)
    close(samples(model, positive, negative=negative, cfg=2.0, images_per_pass=1), ours)
    assert torch.equal(host_ksampler(model, positive, negative, empty(), "euler", cfg=2.0), ours)
    with pytest.raises(ValueError, match="a coupled set of 2, the positive is one of 3"):
        samples(model, positive, negative=tiny_coupled(2), cfg=2.0)


@pytest.mark.parametrize("sampler_name", ["euler", "dpmpp_sde"])
@pytest.mark.parametrize("noise_node", ["CoupledNoise", "RandomNoise"])
def test_sampler_custom_advanced_gives_the_same_set(model, positive, sampler_name, noise_node):
    from comfy_extras import nodes_custom_sampler as custom

    noise = (
        (CoupledNoise if noise_node == "CoupledNoise" else custom.RandomNoise)
        .execute(SEED)
        .result[0]
    )
    guider = custom.BasicGuider.execute(model, positive).result[0]
    sampler = custom.KSamplerSelect.execute(sampler_name).result[0]
    before = dict(vars(sampler))
    sigmas = custom.BasicScheduler.execute(model, "simple", STEPS, 1.0).result[0]
    theirs = custom.SamplerCustomAdvanced.execute(noise, guider, sampler, sigmas, empty()).result[
        0
    ]["samples"]
    assert torch.equal(theirs, samples(model, positive, sampler_name=sampler_name))
    assert vars(sampler) == before


@pytest.mark.parametrize("sampler_name", STOCHASTIC)
def test_an_ordinary_run_of_the_patched_model_is_the_stock_one(
    stock, model, negative, sampler_name
):
    text = tiny_conditioning(8, seed=3)
    assert torch.equal(
        host_ksampler(model, text, negative, empty(), sampler_name),
        host_ksampler(stock, text, negative, empty(), sampler_name),
    )


def test_a_bypassed_patch_leaves_the_stock_model(stock, positive, negative):
    """Coupled Sampler makes of it what KSampler makes, with one noise, in any number of passes."""
    one_noise = {**empty(), "batch_index": [0] * N}
    plain = host_ksampler(stock, positive, negative, one_noise, "euler")
    assert torch.equal(samples(stock, positive), plain)
    close(samples(stock, positive, images_per_pass=1), plain)


def test_coupling_changes_only_its_clone_and_twice_is_once(stock):
    coupled = couple(stock, constant(0.5))
    kind = comfy.patcher_extension.WrappersMP.OUTER_SAMPLE
    assert len(coupled.get_all_wrappers(kind)) == 1
    assert len(couple(coupled, constant(0.5)).get_all_wrappers(kind)) == 1
    assert len(coupled.get_all_wrappers(kind)) == 1 and not stock.get_all_wrappers(kind)


# Noise


def test_shared_noise_is_the_hosts_draw_for_one():
    import comfy.sample

    noise = draw_shared_noise(empty(1), SEED, 5)
    assert torch.equal(
        noise, comfy.sample.prepare_noise(empty(1)["samples"], SEED).repeat(5, 1, 1, 1)
    )
    second = draw_shared_noise({**empty(2), "batch_index": [1, 0]}, SEED, 2)
    assert torch.equal(second[0], second[1]) and not torch.equal(second[0], noise[0])
    assert torch.equal(second[:1], comfy.sample.prepare_noise(empty(1)["samples"], SEED, [1]))


def test_batch_index_chooses_the_noise_as_in_the_host(model, positive, negative):
    latent = {**empty(), "batch_index": [2, 2, 2]}
    ours = samples(model, positive, latent)
    assert torch.equal(ours, host_ksampler(model, positive, negative, latent, "euler"))
    assert not torch.equal(ours, samples(model, positive))


def test_the_set_s_batch_index_has_one_entry_for_each_image(model, positive, negative):
    latent = {**empty(1), "batch_index": [2]}
    made = sample_set(model, positive, latent, SEED, STEPS)
    assert made["batch_index"] == [2] * N and latent["batch_index"] == [2]
    again = host_ksampler(
        model, positive, negative, made, "euler"
    )  # a second stage by the host's own node
    assert torch.equal(again, samples(model, positive, made))


def test_a_host_without_temporal_ratios_will_do(model, positive, monkeypatch):
    import comfy.sample

    ours, today = samples(model, positive), comfy.sample.fix_empty_latent_channels
    monkeypatch.setattr(
        comfy.sample,
        "fix_empty_latent_channels",
        lambda model, latent_image, downscale_ratio_spacial=None: today(
            model, latent_image, downscale_ratio_spacial
        ),
    )
    assert torch.equal(ours, samples(model, positive, {**empty(1), "downscale_ratio_spacial": 8}))


def test_the_noise_node_gives_every_row_the_same():
    noise = CoupledNoise.execute(5).result[0]
    drawn = noise.generate_noise(empty(4))
    assert noise.seed == 5 and drawn.shape == (4, 16, 8, 12)
    assert torch.equal(drawn, drawn[:1].expand_as(drawn)) and drawn.std() > 0.9


def custom_run(model, positive, sampler):
    guider = comfy.samplers.CFGGuider(model)
    guider.inner_set_conds({"positive": positive})
    sigmas = torch.linspace(1, 0, STEPS + 1)
    return guider.sample(
        draw_shared_noise(empty(), SEED, N), empty()["samples"], sampler, sigmas, seed=SEED
    )


def test_noise_that_cannot_be_shared_is_refused_before_sampling(stock, positive):
    model = couple(stock, constant(0.0))
    for name in ("euler", "heun", "dpm_2", "heunpp2"):
        with pytest.raises(ValueError, match=f"s_churn.*{name}"):
            custom_run(model, positive, comfy.samplers.ksampler(name, {"s_churn": 5.0}))
        custom_run(model, positive, comfy.samplers.ksampler(name, {"s_churn": 0.0}))


def test_a_noise_sampler_that_is_given_is_handed_out_as_well(stock, positive):
    model = couple(stock, constant(0.0))
    generator = torch.Generator().manual_seed(1)
    options = {"noise_sampler": lambda s, t: torch.randn(N, 16, 8, 12, generator=generator)}
    result = custom_run(model, positive, comfy.samplers.ksampler("euler_ancestral", options))
    assert torch.equal(result, result[:1].expand_as(result))


def test_a_sampler_of_another_kind_runs_with_a_warning(stock, positive, caplog):
    class Foreign(comfy.samplers.Sampler):
        def sample(self, model_wrap, sigmas, extra_args, callback, noise, *rest):
            return model_wrap(
                noise,
                sigmas[0].expand(len(noise)),
                **{"model_options": extra_args["model_options"]},
            )

    model = couple(stock, constant(0.0))
    result = custom_run(model, positive, Foreign())
    assert torch.equal(result[0], result[1]) and "Foreign" in caplog.text


# The node


def test_the_schemas_keep_the_contract():
    assert [(node.GET_SCHEMA().node_id, node.GET_SCHEMA().display_name) for node in NODES] == [
        ("CoupledNoise", "Coupled Noise"),
        ("CoupledSampler", "Coupled Sampler"),
    ]
    schema = CoupledSampler.GET_SCHEMA()
    assert [(i.id, i.io_type, getattr(i, "default", None)) for i in schema.inputs] == [
        ("model", "MODEL", None),
        ("positive", "CONDITIONING", None),
        ("latent_image", "LATENT", None),
        ("seed", "INT", 0),
        ("steps", "INT", 50),
        ("sampler_name", "COMBO", "euler"),
        ("scheduler", "COMBO", "simple"),
        ("denoise", "FLOAT", 1.0),
        ("images_per_pass", "INT", 0),
        ("negative", "CONDITIONING", None),
        ("cfg", "FLOAT", 1.0),
    ]
    assert [i.id for i in schema.inputs if i.optional] == ["negative", "cfg"]
    assert [(o.id, o.io_type) for o in schema.outputs] == [
        ("latent", "LATENT"),
        ("plate", "LATENT"),
        ("entity_masks", "MASK"),
    ]
    assert [i.id for i in CoupledNoise.GET_SCHEMA().inputs] == ["noise_seed"]
    assert [o.io_type for o in CoupledNoise.GET_SCHEMA().outputs] == ["NOISE"]


def test_the_sampler_node_is_sample_set(model, positive, negative):
    made = CoupledSampler.execute(
        model, positive, empty(1), SEED, STEPS, "euler", "simple", 1.0, 0
    ).result[0]
    assert torch.equal(made["samples"], samples(model, positive))
    made = CoupledSampler.execute(
        model,
        positive,
        empty(1),
        SEED,
        STEPS,
        "euler",
        "simple",
        1.0,
        2,
        negative=negative,
        cfg=2.0,
    ).result[0]
    close(made["samples"], samples(model, positive, negative=negative, cfg=2.0))


def test_what_else_the_latent_holds_stays(model, positive):
    latent = {
        **empty(),
        "noise_mask": torch.ones(1, 64, 96),
        "downscale_ratio_spacial": 8,
        "own": "kept",
    }
    given = dict(latent)
    made = sample_set(model, positive, latent, seed=0, steps=1)
    assert set(made) == {"samples", "noise_mask", "own", "batch_index"}
    assert latent.keys() == given.keys()
    assert torch.count_nonzero(latent["samples"]) == 0


def test_an_empty_latent_of_other_channels_is_made_to_fit(model, positive):
    small = {"samples": torch.zeros(1, 4, 8, 12), "downscale_ratio_spacial": 8}
    assert torch.equal(samples(model, positive, small), samples(model, positive))


def test_denoise_0_returns_the_latent(model, positive):
    latent = noisy()
    assert torch.equal(samples(model, positive, latent, denoise=0.0), latent["samples"])


# What goes wrong


def limited(model, rows, at_call=0):
    """`model`, but out of memory when it is called with more than `rows` images, from call number
    `at_call` on.
    """
    calls = []

    def wrapper(executor, x, *args, **kwargs):
        calls.append(x.shape[0])
        if x.shape[0] > rows and len(calls) > at_call:
            raise comfy.model_management.OOM_EXCEPTION(
                "CUDA out of memory. Tried to allocate 1 GiB"
            )
        return executor(x, *args, **kwargs)

    model = model.clone()
    model.add_wrapper_with_key(comfy.patcher_extension.WrappersMP.APPLY_MODEL, "limit", wrapper)
    return model, calls


@pytest.mark.parametrize("at_call", [0, 2])
def test_out_of_memory_halves_the_pass(exact, positive, caplog, at_call):
    five = tiny_coupled(5)
    short, calls = limited(exact, 2, at_call)
    passes = []
    result = samples(
        short,
        five,
        empty(1),
        callback=lambda images, step, *_: passes.append((tuple(images), step)),
    )
    close(result, samples(exact, five, empty(5)))
    last = [images for images, step in passes if step == STEPS - 1]
    assert last == [(0, 1), (2, 3), (4,)]
    assert (
        calls[0] == 5 and "not enough memory for 5" in caplog.text and "2 per pass" in caplog.text
    )


def test_out_of_memory_with_one_image_says_so(exact, positive):
    short, calls = limited(exact, 0)
    with pytest.raises(
        comfy.model_management.OOM_EXCEPTION, match="even one image.*Tried to allocate"
    ):
        samples(short, positive)
    assert calls == [3, 2, 1]


def test_a_pass_of_a_size_that_was_asked_for_is_not_halved(exact, positive):
    short, calls = limited(exact, 1)
    with pytest.raises(comfy.model_management.OOM_EXCEPTION):
        samples(short, positive, images_per_pass=2)
    assert calls == [2]


def test_a_set_too_large_for_the_whole_memory_starts_with_fewer(model):
    assert first_size(model, (8, 16, 8, 12)) == 8
    total = comfy.model_management.get_total_memory(model.load_device)
    row = model.memory_required([1, 16, 1024, 1024])
    shape = (8, 16, 1024, int(1024 * total / row / 3))  # three images would fill the memory
    assert first_size(model, shape) == 2
    assert first_size(model, (8, 16, 1024, 1024 * shape[3])) == 1


def test_a_set_of_16_on_a_small_budget_finishes(exact, caplog):
    """By the host's own estimate 5 images fit, so the first pass has 4; then only 3 do, and the
    passes have 2.
    """
    sixteen, small = (
        tiny_coupled(16),
        couple(tiny_flux(gain=0.5), sin(center=2, k=0.8, reference_steps=STEPS), "exact"),
    )
    total = comfy.model_management.get_total_memory(small.load_device)
    small.model.memory_usage_factor *= total / small.memory_required([5, 16, 8, 12])
    short, calls = limited(small, 3)
    close(samples(short, sixteen, empty(1)), samples(exact, sixteen, empty(1)))
    assert calls == [4, *[2] * 8 * STEPS] and "not enough memory for 4" in caplog.text


def test_other_errors_are_not_taken_for_a_lack_of_memory(model, positive):
    def fails(*_):
        raise RuntimeError("something else")

    with pytest.raises(RuntimeError, match="something else"):
        samples(model, positive, callback=fails)


@pytest.mark.slow
@pytest.mark.parametrize("stop_at", [0, 2, 5])
def test_an_interrupt_stops_at_its_step_and_frees(model, positive, stop_at):
    seen, kept = [], []

    def stop(images, step, x0, x, total):
        seen.append(step)
        kept.append(weakref.ref(x0))
        if len(seen) == stop_at + 1:
            comfy.model_management.interrupt_current_processing()

    with pytest.raises(comfy.model_management.InterruptProcessingException):
        samples(model, positive, images_per_pass=2, callback=stop)
    gc.collect()
    assert len(seen) == stop_at + 1 and not any(ref() is not None for ref in kept)
    assert not comfy.model_management.processing_interrupted()
    close(samples(model, positive, images_per_pass=2), samples(model, positive))


def test_an_interrupt_after_the_last_model_call_counts_too(model, positive):
    calls = []

    def wrapper(executor, *args, **kwargs):
        out = executor(*args, **kwargs)
        calls.append(out)
        if len(calls) == STEPS:
            comfy.model_management.interrupt_current_processing()
        return out

    watched = model.clone()
    watched.add_wrapper_with_key(comfy.patcher_extension.WrappersMP.APPLY_MODEL, "watch", wrapper)
    with pytest.raises(comfy.model_management.InterruptProcessingException):
        samples(watched, positive)


def test_numbers_that_are_none_are_named(exact, positive):
    def spoil(executor, x, *args, **kwargs):
        out = executor(x, *args, **kwargs)
        out[1:] = float("nan")
        return out

    broken = exact.clone()
    broken.add_wrapper_with_key(comfy.patcher_extension.WrappersMP.APPLY_MODEL, "spoil", spoil)
    with pytest.raises(ValueError, match="^Load the model.*fp32.*image 1, 2 of 3"):
        samples(broken, positive)


@pytest.mark.parametrize(
    "options, words",
    [
        ({"latent": empty(2)}, "^Set the latent.*batch of 2.*set is one of 3"),
        ({"latent": {"samples": torch.full((3, 16, 8, 12), float("nan"))}}, "NaN.*row 0, 1, 2"),
        ({"latent": {"samples": torch.full((1, 16, 8, 12), float("inf"))}}, "infinite.*row 0"),
        ({"sampler_name": "eular"}, "no sampler 'eular'.*euler"),
        ({"scheduler": "simpel"}, "no scheduler 'simpel'.*simple"),
        ({"sampler_name": "dpm_adaptive"}, "^Choose another sampler.*dpm_adaptive"),
        ({"sampler_name": "euler_cfg_pp"}, "euler_cfg_pp needs one"),
        ({"cfg": 2.0}, "^Connect a negative.*it is 2"),
        ({"cfg": float("nan")}, "cfg must be a finite"),
        ({"denoise": float("nan")}, "denoise must be"),
        ({"steps": 0}, "steps must be"),
        ({"images_per_pass": -1}, "images_per_pass must be"),
    ],
)
def test_errors_come_before_sampling(model, positive, options, words):
    spied, calls = limited(model, 99)
    with pytest.raises(ValueError, match=words):
        samples(spied, positive, **options)
    assert calls == []


def test_a_conditioning_that_is_not_coupled(model):
    with pytest.raises(ValueError, match="Encode Coupled Prompts"):
        samples(model, tiny_conditioning(8))


def test_a_latent_of_several_tensors_is_refused(model, positive):
    from comfy.nested_tensor import NestedTensor

    nested = {"samples": NestedTensor([torch.zeros(3, 16, 8, 12), torch.zeros(3, 8, 20)])}
    with pytest.raises(ValueError, match="several tensors"):
        samples(model, positive, nested)
    with pytest.raises(ValueError, match="several tensors"):
        draw_shared_noise(nested, 0, 3)
