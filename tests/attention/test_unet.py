"""SDXL and SD1.5: what a UNet has that no other family has. Attention on several grids,
convolutions between them, a schedule of noise that is no flow's, and sizes beside the pooled text.
"""

import dataclasses

import comfy.samplers
import pytest
import torch
from comfy.model_sampling import CONST
from comfy_extras.nodes_model_downscale import PatchModelAddDownscale
from tiny_families import SD15, SDXL
from torch.nn.functional import adaptive_max_pool2d

from coupled.attention import couple_conditioning, select_images
from coupled.attention.contrast import ContrastProbe
from coupled.attention.families import architecture_of
from coupled.attention.region import grid_of, tokens_of, whole_tokens
from coupled.attention.stages import noise_share, run_progress
from coupled.attention.strips import Injection, make_injection
from coupled.sampling import couple
from coupled.schedules import constant, sin

from compare import relative_error

N = 3
THETA = sin(center=1.5, k=0.8, reference_steps=4)
each = pytest.mark.parametrize("tiny", [SDXL, SD15], ids=["SDXL", "SD1.5"])


def patch_of(model):
    return architecture_of(model.model.diffusion_model).patch


def grids_of(tiny):
    return [grid_of(*tiny.latent[-2:], 2**level) for level in range(3)]


def texts_of(tiny, lengths=(7, 7, 7)):
    return tiny.texts(5, lengths)


def boxes(tiny):
    """Where each entity may stand, [N, H, W] of latent pixels."""
    H, W = tiny.latent[-2:]
    masks = torch.zeros(N, H, W)
    for i in range(N):
        masks[i, 2:6, 4 * i : 4 * i + 4] = 1
    return masks


@each
@pytest.mark.parametrize(
    "sampler, scheduler", [("euler", "normal"), ("dpmpp_2m_sde", "karras"), ("lcm", "sgm_uniform")]
)
@pytest.mark.parametrize("cfg", [1.0, 5.0])
def test_outside_its_region_each_image_is_the_background_alone(
    tiny, model, sampler, scheduler, cfg
):
    """To the bit the same in all images, and but for rounding the stock model's picture of it."""
    background, entities = texts_of(tiny)
    settings = {"sampler_name": sampler, "scheduler": scheduler, "cfg": cfg, "steps": 4}
    coupled = couple(model, THETA, "local", regions=boxes(tiny))
    out = tiny.sample(coupled, couple_conditioning(background, entities), **settings)
    own_nHW = whole_tokens(boxes(tiny) > 0, patch_of(model))
    plate = tiny.sample(model, background, **settings)[0]
    for i in range(N):
        assert relative_error(out[i][:, ~own_nHW[i]], plate[:, ~own_nHW[i]]) <= 1e-4
        assert relative_error(out[i][:, own_nHW[i]], plate[:, own_nHW[i]]) > 1e-3
    everywhere = ~own_nHW.any(0)
    assert torch.equal(out[:, :, everywhere], out[:1, :, everywhere].expand(N, -1, -1))


@each
def test_regions_are_found(tiny, model, monkeypatch):
    """Every block is heard, on its own grid, and a part of the picture comes out."""
    probes = []
    hear = ContrastProbe.contrast_BS
    monkeypatch.setattr(ContrastProbe, "contrast_BS", lambda p: probes.append(p) or hear(p))
    background, entities = texts_of(tiny)
    coupled = couple(model, THETA, "local")
    together = couple_conditioning(background, entities)
    out = tiny.sample(coupled, together, steps=8)
    h, w = grid_of(*tiny.latent[-2:], patch_of(model))
    assert probes
    for probe in probes:
        assert len(probe.contrasts) == sum("attn2.to_q" in k for k in model.model.state_dict())
        assert len({c.shape[1] for c in probe.contrasts}) > 1
        assert hear(probe).shape == (N + 1, h * w)
    plate = tiny.sample(model, background, steps=8)[0]
    same_nHW = ((out - plate).abs() < 1e-3 * plate.std()).all(1)
    share_n = same_nHW.flatten(1).float().mean(1)
    assert (share_n > 0.1).all() and (share_n < 1).all()
    for i, entity in enumerate(entities):
        alone = tiny.sample(coupled, couple_conditioning(background, [entity]), steps=8)
        assert relative_error(alone, out[i : i + 1]) <= 1e-4


@each
def test_on_every_grid_an_image_has_the_plates_keys_outside_its_region(tiny, model, monkeypatch):
    seen = []
    inject = Injection.inject

    def spy(self, t_BHLD, text):
        out = inject(self, t_BHLD, text)
        seen.append((t_BHLD.shape[2], t_BHLD, out))
        return out

    monkeypatch.setattr(Injection, "inject", spy)
    background, entities = texts_of(tiny)
    coupled = couple(model, constant(0.5), "local", regions=boxes(tiny))
    tiny.sample(coupled, couple_conditioning(background, entities), steps=1)
    blocks = sum("attn1.to_q" in k for k in model.model.state_dict())
    assert len(seen) == 2 * blocks  # keys and values
    finest = tokens_of(boxes(tiny) > 0, patch_of(model)).float()
    for tokens, own, out in seen:
        (sides,) = [sides for sides in grids_of(tiny) if sides[0] * sides[1] == tokens]
        inside_nS = adaptive_max_pool2d(finest[:, None], sides).flatten(1) > 0
        for i in range(N):
            assert torch.equal(out[i][:, inside_nS[i]], own[i][:, inside_nS[i]])
            assert torch.equal(out[i][:, ~inside_nS[i]], own[N][:, ~inside_nS[i]])
        assert torch.equal(out[N], own[N])


def test_a_token_of_a_coarser_grid_is_an_images_own_if_any_part_is():
    region = torch.zeros(1, 5, 7, dtype=torch.bool)
    region[0, 4, 6] = True
    injection = make_injection(region, [(5, 7), (3, 4), (2, 2)])
    assert torch.equal(injection.others[35], injection.region_nS)
    for (h, w), tokens in {(3, 4): 12, (2, 2): 4}.items():
        assert injection.others[tokens].view(h, w).nonzero().tolist() == [[h - 1, w - 1]]


@each
def test_a_grid_that_another_pack_makes_is_left_to_it(tiny, model):
    """The host's Kohya Deep Shrink: fewer tokens in some blocks."""
    background, entities = texts_of(tiny, (11, 11, 11))
    together = couple_conditioning(background, entities)
    shrunk = PatchModelAddDownscale.execute(
        model, 1, 1.7, 0.0, 1.0, True, "bicubic", "bicubic"
    ).result[0]
    out = tiny.sample(couple(shrunk, constant(1.0), "exact"), together)
    for i, entity in enumerate(entities):
        assert relative_error(out[i : i + 1], tiny.sample(shrunk, entity)) <= 2e-5
    local = couple(shrunk, THETA, "local")
    whole = tiny.sample(local, together, steps=4)
    one = tiny.sample(local, select_images(together, [1]), steps=4)
    assert relative_error(one, whole[1:2]) <= 1e-4


@each
def test_two_sets_of_other_lengths_are_not_repeated_in_one_call(tiny, model):
    """The host repeats texts to one length where they share a call, and a repeated pair would be
    cut in the wrong place.
    """
    background, entities = texts_of(tiny)
    coupled = couple(model, constant(0.4), "exact")
    one = couple_conditioning(background, entities)
    other = couple_conditioning(background, [tiny.text(19, seed=30 + i) for i in range(N)])
    seen = []

    def keep(args):
        seen.append(args["cond_denoised"])
        return args["denoised"]

    coupled.set_model_sampler_post_cfg_function(keep)
    for positive in (one, other, one + other):
        tiny.sample(coupled, positive, steps=1)
    assert relative_error(seen[2], (seen[0] + seen[1]) / 2) <= 1e-5


@pytest.mark.parametrize("tiny", [SDXL], ids=["SDXL"])
def test_the_sizes_beside_the_pooled_text_stay_the_backgrounds(tiny, model):
    background, entities = texts_of(tiny)
    background[0][1]["width"] = entities[0][0][1]["width"] = 64
    out = tiny.sample(
        couple(model, constant(1.0), "exact"), couple_conditioning(background, entities)
    )
    assert relative_error(out[:1], tiny.sample(model, entities[0])) <= 2e-5
    entities[1][0][1]["width"] = 512
    assert relative_error(out[1:2], tiny.sample(model, entities[1])) > 1e-3


@each
def test_noise_is_a_share_whatever_the_model_predicts(tiny, model):
    """x0 + sigma·noise is, but for its scale, a flow's (1-t)·x0 + t·noise."""
    sampling = model.get_model_object("model_sampling")
    assert not isinstance(sampling, CONST)
    sigma = sampling.sigma_max / 3
    x0, noise = torch.randn(2, 1, 4, 8, 8)
    x = sampling.noise_scaling(sigma, noise.clone(), x0)
    t = noise_share(sampling, float(sigma))
    assert 0 < t < 1 and relative_error(x * (1 - t), (1 - t) * x0 + t * noise) <= 1e-5
    assert noise_share(CONST(), 0.7) == 0.7


@each
def test_an_attention_of_the_image_is_not_taken_for_one_to_a_text_of_as_many_tokens(tiny, model):
    h, w = grids_of(tiny)[1]
    background = tiny.text(5, seed=1)
    entities = [tiny.text(h * w - 5, seed=2 + i) for i in range(N)]
    out = tiny.sample(
        couple(model, constant(1 - 1e-9), "exact"), couple_conditioning(background, entities)
    )
    for i, entity in enumerate(entities):
        assert relative_error(out[i : i + 1], tiny.sample(model, entity)) <= 2e-5


@each
def test_nor_in_the_negative_beside_a_plate(tiny, model):
    h, w = grids_of(tiny)[1]
    background, entities = texts_of(tiny)
    negative, nowhere = tiny.text(h * w, seed=90), torch.zeros(1, *tiny.latent[1:])
    coupled = couple(model, THETA, "local", regions=nowhere)
    together = couple_conditioning(background, entities)
    out = tiny.sample(coupled, together, negative, cfg=4.0, steps=3)
    plate = tiny.sample(model, background, negative, cfg=4.0, steps=3)
    assert relative_error(out, plate.expand_as(out)) <= 1e-4


@each
@pytest.mark.parametrize("scheduler", ["normal", "karras", "sgm_uniform", "exponential"])
def test_a_run_of_any_schedule_of_noise_counts_as_whole(tiny, model, scheduler):
    sampling = model.get_model_object("model_sampling")
    sigmas = comfy.samplers.calculate_sigmas(sampling, scheduler, 4)
    sampler = comfy.samplers.sampler_object("euler")
    assert run_progress(sampling, sampler, sigmas.tolist()) == [0, 0.25, 0.5, 0.75, 1]


def test_other_unets_are_refused():
    """SDXL's refiner has a vector of its own, a video model attends over its frames."""
    for own in ({"adm_in_channels": 2560}, {"adm_in_channels": 768, "num_classes": "sequential"}):
        tiny = dataclasses.replace(SDXL, config={**SDXL.config, **own})
        with pytest.raises(ValueError, match=r"UNetModel.*works with: Flux\.1"):
            architecture_of(tiny.model().model.diffusion_model)
    frames = {
        "use_temporal_resblock": True,
        "use_temporal_attention": True,
        "video_kernel_size": [3, 1, 1],
        "merge_strategy": "learned",
        "merge_factor": 0.5,
    }
    video = dataclasses.replace(SD15, config={**SD15.config, **frames})
    with pytest.raises(ValueError, match=r"UNetModel.*works with: Flux\.1"):
        architecture_of(video.model().model.diffusion_model)
