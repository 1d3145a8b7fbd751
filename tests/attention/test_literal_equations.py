"""The patched model against the literal equations, and the identities that the method promises."""

import contextlib

import pytest
import torch

from coupled.attention import couple_conditioning
from coupled.sampling import couple
from coupled.schedules import constant, step01

from compare import relative_error
from literal import literal_flux
from tiny import tiny_conditioning, tiny_coupled, tiny_flux, tiny_forward, tiny_latent, tiny_sample

N, L_BG, L_ENT = 3, 5, 7
THETAS = [0.0, 0.3, 0.7, 1.0]


@pytest.fixture(scope="module")
def model():
    return tiny_flux()


def differing_latent():
    return tiny_latent(N) + torch.randn(N, 1, 8, 12, generator=torch.Generator().manual_seed(5))


def literal(model, conditioning, x, theta, mode, position=1.0, steps=4):
    ((context, values),) = conditioning
    t = torch.full((N,), 1 - position / steps)
    pooled_ent = values["model_conds"]["coupled_entity_pooled"].cond
    return literal_flux(
        model.model.diffusion_model,
        x,
        t,
        context[:, :L_BG],
        context[:, L_BG:],
        values["pooled_output"],
        pooled_ent,
        torch.full((N,), 3.5),
        theta,
        mode,
    )


@pytest.mark.parametrize("theta", THETAS)
@pytest.mark.parametrize("mode", ["paper", "exact"])
@pytest.mark.parametrize("depths", [(2, 2), (3, 0), (0, 3)], ids=["both", "double", "single"])
def test_matches_the_literal_equations(theta, mode, depths):
    model = tiny_flux(seed=3, depth=depths[0], depth_single_blocks=depths[1])
    conditioning, x = tiny_coupled(N, L_BG, L_ENT), differing_latent()
    out = tiny_forward(couple(model, constant(theta), mode), conditioning, x, 1.0)
    expected = literal(model, conditioning, x, theta, mode)
    print(f"max error {mode} theta={theta} depths={depths}: {relative_error(out, expected):.2e}")
    assert relative_error(out, expected) <= 2e-5


def test_modes_differ_and_theta_matters(model):
    """The comparison above could otherwise pass on a model that ignores its text."""
    conditioning, x = tiny_coupled(N, L_BG, L_ENT), differing_latent()
    modes = [(m, t) for m in ("paper", "exact") for t in THETAS]
    outs = [tiny_forward(couple(model, constant(t), m), conditioning, x) for m, t in modes]
    for i, a in enumerate(outs):
        assert all(relative_error(a, b) > 1e-2 for b in outs[:i])


@pytest.mark.parametrize("theta, text", [(0.0, "background"), (1.0, "entity")])
def test_exact_mode_ends_in_the_stock_model(model, theta, text):
    background = tiny_conditioning(L_BG, seed=1)
    entities = [tiny_conditioning(L_ENT, seed=2 + i) for i in range(N)]
    rows = [background[0]] * N if text == "background" else [e[0] for e in entities]
    coupled = couple(model, constant(theta), "exact")
    for n in (N, 1):
        x = differing_latent()[:n]
        pooled = torch.cat([values["pooled_output"] for _, values in rows[:n]])
        stock = [[torch.cat([context for context, _ in rows[:n]]), {"pooled_output": pooled}]]
        ours = tiny_forward(coupled, couple_conditioning(background, entities[:n]), x)
        assert torch.equal(ours, tiny_forward(model, stock, x))


@pytest.mark.parametrize("mode", ["exact", "local"])
def test_theta_zero_gives_identical_images(model, mode):
    out = tiny_sample(couple(model, constant(0.0), mode), tiny_coupled(N, L_BG, L_ENT))
    assert torch.equal(out[0], out[1]) and torch.equal(out[0], out[2])
    one = tiny_sample(model, tiny_conditioning(L_BG), batch=1)
    assert torch.equal(out[:1], one)
    other = tiny_sample(couple(model, constant(0.4), mode), tiny_coupled(N, L_BG, L_ENT))
    assert relative_error(other[0], other[1]) > 1e-2


def test_theta_one_is_each_entity_alone(model):
    out = tiny_sample(couple(model, constant(1.0), "exact"), tiny_coupled(N, L_BG, L_ENT))
    for i in range(N):
        alone = tiny_sample(model, tiny_conditioning(L_ENT, seed=1 + i), batch=1)
        assert relative_error(out[i : i + 1], alone) <= 1e-5


@contextlib.contextmanager
def shapes_seen(model):
    """The (rows, text tokens) of each call of the model's text input."""
    seen = []
    layer = model.model.diffusion_model.txt_in
    handle = layer.register_forward_pre_hook(lambda _, args: seen.append(tuple(args[0].shape[:2])))
    try:
        yield seen
    finally:
        handle.remove()


def test_a_dead_text_is_dropped_and_equal_rows_are_evaluated_once(model):
    conditioning = tiny_coupled(N, L_BG, L_ENT)
    with shapes_seen(model) as seen:
        tiny_sample(couple(model, step01(2, 4), "exact"), conditioning)
    assert seen == [(1, L_BG)] * 2 + [(N, L_ENT)] * 2
    with shapes_seen(model) as seen:
        tiny_sample(couple(model, step01(2, 4), "local"), conditioning)
    # at theta 1 each row has its own text; the last step looks at both to find the subjects
    assert seen == [(1, L_BG)] * 2 + [(N + 1, L_ENT), (N + 1, L_BG + L_ENT)]
    with shapes_seen(model) as seen:
        tiny_sample(couple(model, constant(0.0), "paper"), conditioning, steps=1)
    assert seen == [(N, L_BG + L_ENT)]


def test_rows_that_differ_are_all_evaluated(model):
    coupled, conditioning = couple(model, constant(0.0)), tiny_coupled(N, L_BG, L_ENT)
    with shapes_seen(model) as seen:
        tiny_forward(coupled, conditioning, differing_latent())
        tiny_forward(coupled, conditioning, tiny_latent(N), ref_latents=[tiny_latent(N)])
        tiny_forward(coupled, conditioning, tiny_latent(N), attention_mask=torch.zeros(N, 36, 36))
    assert seen == [(N, L_BG), (N, L_BG), (N, L_BG + L_ENT)]


@pytest.mark.parametrize("mode", ["exact", "paper", "local"])
def test_bfloat16_is_close_to_float32(mode):
    """As close as the stock model's own rounding; a factor of 1.5 is left to chance."""
    conditioning, x = tiny_coupled(N, L_BG, L_ENT), differing_latent()
    fine, coarse = tiny_flux(gain=0.5), tiny_flux(gain=0.5, dtype=torch.bfloat16)
    stock = relative_error(
        tiny_forward(coarse, conditioning, x), tiny_forward(fine, conditioning, x)
    )
    for theta in THETAS:
        schedule = constant(theta)
        ours = tiny_forward(couple(coarse, schedule, mode), conditioning, x)
        off = relative_error(ours, tiny_forward(couple(fine, schedule, mode), conditioning, x))
        print(f"bf16 {mode} theta={theta}: {off:.2e}, stock {stock:.2e}")
        assert ours.dtype == torch.bfloat16 and off < 1.5 * stock < 0.04
