"""The patch in the host: what it leaves untouched, what it works together with, and what it refuses."""

import comfy.conds
import comfy.ldm.flux.model
import comfy.patcher_extension
import comfy.sample
import comfy.samplers
import comfy.sd
import pytest
import torch
from coupled.attention import couple, couple_conditioning, is_coupled, select_images
from coupled.attention.progress import step_position, theta_at
from coupled.schedules import constant, sin, step01
from tiny import (
    TEXT_DIM,
    tiny_conditioning,
    tiny_coupled,
    tiny_flux,
    tiny_forward,
    tiny_latent,
    tiny_sample,
)

N, L_BG, L_ENT = 3, 5, 7
THETA = sin(center=1.5, k=0.8, reference_steps=4)


@pytest.fixture(scope="module")
def model():
    return tiny_flux()


@pytest.fixture
def conditioning():
    return tiny_coupled(N, L_BG, L_ENT)


def error(a, b):
    return float((a - b).abs().max() / b.abs().max())


class BrokenTheta:
    def at(self, progress):
        return float("nan") if progress > 0.5 else 0.0


# --- what stays as it is ---


def snapshot(model):
    weights = {k: v.clone() for k, v in model.model.state_dict().items()}
    methods = {k: v.forward for k, v in model.model.named_modules()}
    return weights, methods, repr(model.model_options), repr(model.wrappers), dict(model.patches), model.object_patches.copy()


def test_original_is_unchanged_and_bypass_is_stock(model, conditioning):
    before = snapshot(model)
    plain = tiny_conditioning(6)
    stock = tiny_sample(model, plain)
    coupled = couple(model, THETA)
    tiny_sample(coupled, conditioning)
    after = snapshot(model)
    assert all(torch.equal(after[0][k], v) for k, v in before[0].items()) and after[0].keys() == before[0].keys()
    assert after[1:] == before[1:]
    assert torch.equal(tiny_sample(model, plain), stock)
    assert torch.equal(tiny_sample(coupled, plain), stock)
    assert is_coupled(coupled) and is_coupled(coupled.clone()) and not is_coupled(model)


def test_conditioning_is_not_written_to_and_a_second_run_is_the_same(model, conditioning):
    values = dict(conditioning[0][1])
    conds, context = dict(values["model_conds"]), conditioning[0][0].clone()
    coupled = couple(model, THETA)
    first = tiny_sample(coupled, conditioning)
    assert torch.equal(tiny_sample(coupled, conditioning), first)
    assert conditioning[0][1] == values and values["model_conds"] == conds
    assert torch.equal(conditioning[0][0], context)


def test_coupling_twice_counts_once(model, conditioning):
    again = couple(couple(model, constant(0.9)), THETA)
    assert torch.equal(tiny_sample(again, conditioning), tiny_sample(couple(model, THETA), conditioning))


# --- sets in any cut ---


@pytest.mark.parametrize("cut", [[[0], [1], [2]], [[2, 0], [1]], [[2, 1, 0]]], ids=["one by one", "chunks", "reversed"])
@pytest.mark.parametrize("mode", ["exact", "paper"])
def test_any_cut_of_a_set_gives_the_same_images(model, conditioning, cut, mode):
    coupled = couple(model, THETA, mode)
    whole = tiny_sample(coupled, conditioning)
    for indices in cut:
        part = tiny_sample(coupled, select_images(conditioning, indices), batch=len(indices))
        assert error(part, whole[indices]) <= 1e-5


def test_a_latent_that_does_not_match_is_refused(model, conditioning):
    coupled = couple(model, THETA)
    for batch in (1, 2, 4):
        with pytest.raises(ValueError, match=f"set of 3 images.*batch of {batch}.*batch_size to 3.*Coupled Sampler"):
            tiny_sample(coupled, conditioning, batch=batch)
    with pytest.raises(ValueError, match="set of 2 images"):
        tiny_sample(coupled, tiny_conditioning(4), select_images(conditioning, [0, 1]))


# --- theta in the run ---


def thetas_seen(model, conditioning, schedule, monkeypatch, **settings):
    import coupled.attention.patch as patch

    seen = []

    def spy(schedule, position, steps):
        seen.append(theta_at(schedule, position, steps))
        return seen[-1]

    monkeypatch.setattr(patch, "theta_at", spy)
    tiny_sample(couple(model, schedule), conditioning, **settings)
    return seen


def test_theta_is_exact_at_the_steps(model, conditioning, monkeypatch):
    schedule = sin(center=3, k=0.8, reference_steps=6)
    assert thetas_seen(model, conditioning, schedule, monkeypatch, steps=6) == schedule.values(6)
    assert thetas_seen(model, conditioning, schedule, monkeypatch, steps=6, denoise=0.5) == schedule.values(6)


@pytest.mark.parametrize("sampler", ["heun", "dpm_2", "euler_ancestral", "dpmpp_sde", "dpmpp_2m", "uni_pc"])
def test_theta_between_steps(model, conditioning, monkeypatch, sampler):
    schedule = sin(center=3, k=0.8, reference_steps=6)
    seen = thetas_seen(model, conditioning, schedule, monkeypatch, steps=6, sampler_name=sampler)
    values = schedule.values(6)
    assert set(values) <= set(seen)
    assert all(values[0] <= t <= schedule.at(1.0) for t in seen)


def test_step_position():
    sigmas = [1.0, 0.75, 0.5, 0.5, 0.25, 0.0]
    assert [step_position(s, sigmas) for s in (1.0, 0.75, 0.5, 0.25, 0.0)] == [0, 1, 3, 4, 5]
    assert step_position(0.875, sigmas) == 0.5 and step_position(1.2, sigmas) == 0 and step_position(-0.1, sigmas) == 5
    assert step_position(0.75 * (1 + 1e-6), sigmas) == 1
    assert step_position(0.625, sigmas[::-1]) == 3.5  # a run towards noise
    assert theta_at(step01(2, 4), 1.5, 4) == 0.5 and theta_at(step01(2, 4), 2, 4) == 1.0


def test_a_direct_call_without_sigmas_says_so(model, conditioning):
    with pytest.raises(ValueError, match="sample_sigmas"):
        tiny_forward(couple(model, THETA), conditioning, tiny_latent(N), options={"sample_sigmas": None})


# --- together with others ---


def test_cfg_with_an_uncoupled_negative(model, conditioning):
    """cfg mixes two separate calls: denoised = negative + cfg·(positive - negative)."""
    negative = tiny_conditioning(6, seed=50)
    seen = {}

    def keep(args):
        seen.update(cond=args["cond_denoised"], uncond=args["uncond_denoised"])
        return args["denoised"]

    def one_step(patcher, positive, negative, cfg):
        patcher = patcher.clone()
        patcher.set_model_sampler_post_cfg_function(keep, disable_cfg1_optimization=True)
        tiny_sample(patcher, positive, negative, steps=1, cfg=cfg)
        return seen["cond"], seen["uncond"]

    cond, uncond = one_step(couple(model, constant(0.4)), conditioning, negative, 3.0)
    _, stock_uncond = one_step(model, tiny_conditioning(9), negative, 3.0)
    coupled_alone, _ = one_step(couple(model, constant(0.4)), conditioning, tiny_conditioning(3), 1.0)
    assert torch.equal(uncond, stock_uncond)
    assert torch.equal(cond, coupled_alone)
    # of one length with the coupled text, where the host would like to batch them
    negative = tiny_conditioning(L_BG + L_ENT, seed=50)
    cond, uncond = one_step(couple(model, constant(0.4)), conditioning, negative, 3.0)
    assert torch.equal(uncond, one_step(model, tiny_conditioning(9), negative, 3.0)[1])
    assert torch.equal(cond, coupled_alone)


def test_two_coupled_conditionings_under_cfg(model, conditioning):
    """The host runs them as one batch of 2n: no row may take another's place, at theta = 0 either."""
    negative = tiny_coupled(N, L_BG, L_ENT, seed=60)
    for theta in (0.0, 0.4):
        coupled = couple(model, constant(theta))
        whole = tiny_sample(coupled, conditioning, negative, cfg=3.0)
        for i in range(N):
            one = [select_images(c, [i]) for c in (conditioning, negative)]
            assert error(tiny_sample(coupled, *one, cfg=3.0, batch=1), whole[i : i + 1]) <= 1e-5


def test_another_override_is_chained(model, conditioning):
    """It gets every attention, is not called back by ours, and leaves the result as it is."""
    calls = []

    def other(func, *args, **kwargs):
        assert kwargs["transformer_options"]["optimized_attention_override"] is other
        calls.append(args[0].shape[2])
        return func(*args, **kwargs)

    hooked = model.clone()
    hooked.model_options["transformer_options"]["optimized_attention_override"] = other
    x = tiny_latent(N)
    for mode in ("exact", "paper"):
        for theta in (0.0, 0.3, 1.0):
            alone = tiny_forward(couple(model, constant(theta), mode), conditioning, x)
            calls.clear()
            assert error(tiny_forward(couple(hooked, constant(theta), mode), conditioning, x), alone) <= 1e-5
            assert calls
    assert calls == [L_BG + L_ENT + 24] * 2 + [L_BG + 24, L_ENT + 24] * 2


def test_an_override_that_changes_the_result_is_felt(model, conditioning):
    hooked = model.clone()
    hooked.model_options["transformer_options"]["optimized_attention_override"] = lambda f, *a, **k: f(*a, **k) * 0.5
    x = tiny_latent(N)
    assert error(tiny_forward(couple(hooked, THETA), conditioning, x, 2),
                 tiny_forward(couple(model, THETA), conditioning, x, 2)) > 1e-2


def test_an_attention_beside_the_blocks_is_not_coupled(model, conditioning):
    """A pack that adds a cross-attention of the image to something else, with the same options, gets plain attention."""
    from comfy.ldm.modules.attention import optimized_attention

    q, kv = torch.randn(1, 2, 30, 8), torch.randn(1, 2, 4, 8)
    outs = []

    def patch(q_in, k, v, pe, attn_mask, extra_options):
        outs.append(optimized_attention(q, kv, kv, 2, skip_reshape=True, transformer_options=extra_options))
        return {}

    hooked = couple(model, constant(0.3))
    hooked.set_model_patch(patch, "attn1_patch")
    tiny_forward(hooked, conditioning, tiny_latent(N))
    assert len(outs) == 4 and all(torch.equal(o, optimized_attention(q, kv, kv, 2, skip_reshape=True)) for o in outs)


def test_masks_and_reference_latents(model, conditioning):
    """Reference tokens count as image. A mask of zeros changes nothing; one that hides the entity is felt."""
    x, refs = tiny_latent(N), [tiny_latent(N, seed=4)]
    tokens = L_BG + L_ENT + 48
    for mode in ("exact", "paper"):
        for theta in (0.0, 0.3, 1.0):
            coupled = couple(model, constant(theta), mode)
            free = tiny_forward(coupled, conditioning, x, ref_latents=refs)
            mask = torch.zeros(N, tokens, tokens)
            assert error(tiny_forward(coupled, conditioning, x, ref_latents=refs, attention_mask=mask), free) <= 1e-5
        hidden = mask.clone()
        hidden[:, :, L_BG : L_BG + 2] = float("-inf")
        coupled = couple(model, constant(0.3), mode)
        assert error(tiny_forward(coupled, conditioning, x, ref_latents=refs, attention_mask=hidden), free) > 1e-3
        shorter = couple_conditioning(*split(conditioning, L_BG, 2))
        hidden_in_ent = tiny_forward(coupled, conditioning, x, ref_latents=refs, attention_mask=hidden)
        if mode == "exact":  # hidden keys are as good as absent
            assert error(tiny_forward(coupled, shorter, x, ref_latents=refs), hidden_in_ent) <= 1e-5


def split(conditioning, n_bg, drop):
    """Background and entities of a coupled conditioning again, without the entities' first `drop` tokens."""
    ((context, values),) = conditioning
    pooled = values["model_conds"]["coupled_entity_pooled"].cond
    background = [[context[:1, :n_bg], {"pooled_output": values["pooled_output"][:1]}]]
    rows = [(context[i : i + 1, n_bg + drop :], pooled[i : i + 1]) for i in range(len(context))]
    return background, [[[c, {"pooled_output": p}]] for c, p in rows]


def tiny_controlnet():
    import comfy.controlnet
    import comfy.ldm.flux.controlnet
    import comfy.ops
    from tiny import CONFIG, fill

    config = {k: v for k, v in CONFIG.items() if k != "image_model"}
    net = comfy.ldm.flux.controlnet.ControlNetFlux(
        latent_input=False, control_latent_channels=16, operations=comfy.ops.manual_cast, dtype=torch.float32, **config
    )
    fill(net, 11)
    cpu = torch.device("cpu")
    control = comfy.controlnet.ControlNet(net, load_device=cpu, extra_conds=["y", "guidance"])
    return net, control


def test_controlnet_sees_the_shared_text(model, conditioning):
    net, control = tiny_controlnet()
    control.set_cond_hint(torch.rand(1, 3, 64, 96, generator=torch.Generator().manual_seed(3)))
    texts = []
    net.txt_in.register_forward_pre_hook(lambda _, args: texts.append(args[0]))
    controlled = [[c, {**v, "control": control}] for c, v in conditioning]
    coupled = couple(model, constant(0.0))
    out = tiny_sample(coupled, controlled)
    assert all(torch.equal(t, conditioning[0][0][:, :L_BG]) for t in texts) and len(texts) == 4
    assert error(out, tiny_sample(coupled, conditioning)) > 1e-2
    assert error(out[1:], out[:1].expand(2, -1, -1, -1)) <= 1e-5
    one = tiny_sample(couple(model, THETA), select_images(controlled, [1]), batch=1)
    assert error(one, tiny_sample(couple(model, THETA), controlled)[1:2]) <= 1e-5


def test_controlnet_hints_follow_their_images(model, conditioning):
    _, control = tiny_controlnet()
    control.set_cond_hint(torch.rand(N, 3, 64, 96, generator=torch.Generator().manual_seed(3)))
    controlled = [[c, {**v, "control": control}] for c, v in conditioning]
    coupled = couple(model, THETA)
    whole = tiny_sample(coupled, controlled)
    for i in range(N):
        assert error(tiny_sample(coupled, select_images(controlled, [i]), batch=1), whole[i : i + 1]) <= 1e-5


@pytest.mark.parametrize("first", ["lora", "couple"])
def test_lora(model, conditioning, first):
    """In either order: the same as coupling a model whose weights were changed by hand."""
    generator = torch.Generator().manual_seed(8)
    key = "diffusion_model.single_blocks.1.linear1"
    up, down = torch.randn(320, 4, generator=generator), torch.randn(4, 64, generator=generator)
    lora = {f"{key}.lora_up.weight": up, f"{key}.lora_down.weight": down}
    if first == "lora":
        patched = couple(comfy.sd.load_lora_for_models(model, None, lora, 0.3, 0)[0], THETA)
    else:
        patched = comfy.sd.load_lora_for_models(couple(model, THETA), None, lora, 0.3, 0)[0]
    out = tiny_sample(patched, conditioning)
    by_hand = tiny_flux()
    by_hand.model.diffusion_model.single_blocks[1].linear1.weight.data += 0.3 * up @ down
    expected = tiny_sample(couple(by_hand, THETA), conditioning)
    assert error(out, expected) <= 1e-4
    assert error(tiny_sample(couple(model, THETA), conditioning), expected) > 1e-2


# --- what is refused ---


def test_unknown_models_are_refused():
    flux2 = tiny_flux(global_modulation=True, ops_bias=False, txt_ids_dims=[2])
    with pytest.raises(ValueError, match="does not know this kind of model.*works with: Flux.1"):
        couple(flux2, THETA)


def test_nunchaku_is_refused(model):
    class ComfyFluxWrapper(torch.nn.Module):
        """Stands for nunchaku's class, which the host cannot load here."""

    wrapped = model.clone()
    wrapped.add_object_patch("diffusion_model", ComfyFluxWrapper())
    with pytest.raises(ValueError, match="nunchaku.*ignore the host's attention override"):
        couple(wrapped, THETA)


def test_bad_theta_and_mode_are_refused(model):
    with pytest.raises(ValueError, match="gives nan at 51% of the sampling"):
        couple(model, BrokenTheta())
    with pytest.raises(ValueError, match="Unknown mode 'soft'"):
        couple(model, THETA, "soft")
