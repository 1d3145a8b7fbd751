"""The paper's equations to the letter, slow and on their own: no kernel, merge or hook of the pack
is used.

Both texts are separate tensors all the way. Double blocks: Eq. 5 with an explicit softmax, from the
block's own layers. Single blocks: Eq. 6-11, the host's block run once on [bg, img] and once on
[ent, img], mixed after the whole block. Local mode: the plate is a run of its own, and each image's
clean picture is led to the plate's beside its entity.
"""

import numpy as np
import torch
from comfy.ldm.flux.layers import apply_mod, timestep_embedding
from comfy.ldm.flux.math import apply_rope
from einops import rearrange
from scipy.ndimage import map_coordinates


def qkv(attn, x, heads):
    q, k, v = rearrange(attn.qkv(x), "b l (three h d) -> three b h l d", three=3, h=heads)
    return (*attn.norm(q, k, v), v)


def modulated(norm, x, mod):
    return apply_mod(norm(x), 1 + mod.scale, mod.shift)


def joint_attention(q, k_bg, k_ent, k_img, v, theta, mode):
    """Eq. 5 in paper mode; in exact mode the weights multiply the attention mass."""
    scale = q.shape[-1] ** -0.5
    if mode == "paper":
        logits = (
            q @ torch.cat(((1 - theta) * k_bg, theta * k_ent, k_img), 2).transpose(2, 3) * scale
        )
        return logits.softmax(-1) @ v
    mass = (q @ torch.cat((k_bg, k_ent, k_img), 2).transpose(2, 3) * scale).double().exp()
    n_bg, n_ent = k_bg.shape[2], k_ent.shape[2]
    mass[..., :n_bg] *= 1 - theta
    mass[..., n_bg : n_bg + n_ent] *= theta
    return (mass / mass.sum(-1, keepdim=True)).to(v.dtype) @ v


def contrast(q_img, k_bg, k_ent):
    """log of the attention mass of the entity's keys over that of the background's, mean over the
    heads; [B, S].
    """
    masses = [
        (q_img @ k.transpose(2, 3) * q_img.shape[-1] ** -0.5).double().exp().sum(-1)
        for k in (k_bg, k_ent)
    ]
    return (masses[1] / masses[0]).log().mean(1)


def double_block(block, img, bg, ent, vec, pe, theta, mode, contrasts):
    heads = block.num_heads
    (img_mod1, img_mod2), (txt_mod1, txt_mod2) = block.img_mod(vec), block.txt_mod(vec)
    q_b, k_b, v_b = qkv(block.txt_attn, modulated(block.txt_norm1, bg, txt_mod1), heads)
    q_e, k_e, v_e = qkv(block.txt_attn, modulated(block.txt_norm1, ent, txt_mod1), heads)
    q_i, k_i, v_i = qkv(block.img_attn, modulated(block.img_norm1, img, img_mod1), heads)
    q, k = apply_rope(torch.cat((q_b, q_e, q_i), 2), torch.cat((k_b, k_e, k_i), 2), pe)
    n_bg, n_ent = bg.shape[1], ent.shape[1]
    k_b, k_e, k_i = k.split((n_bg, n_ent, img.shape[1]), 2)
    v = torch.cat((v_b, v_e, v_i), 2)
    contrasts.append(contrast(q[:, :, n_bg + n_ent :], k_b, k_e))
    out = joint_attention(q, k_b, k_e, k_i, v, theta, mode)
    a_b, a_e, a_i = rearrange(out, "b h l d -> b l (h d)").split((n_bg, n_ent, img.shape[1]), 1)

    def rest(x, attended, attn, norm2, mlp, mod1, mod2):
        x = x + mod1.gate * attn.proj(attended)
        return x + mod2.gate * mlp(modulated(norm2, x, mod2))

    text = (block.txt_attn, block.txt_norm2, block.txt_mlp, txt_mod1, txt_mod2)
    img = rest(img, a_i, block.img_attn, block.img_norm2, block.img_mlp, img_mod1, img_mod2)
    return img, rest(bg, a_b, *text), rest(ent, a_e, *text)


def single_block(block, img, bg, ent, vec, model, img_ids, theta):
    def branch(text):
        """Eq. 6-9: the host's whole block on [text, img]."""
        out = block(torch.cat((text, img), 1), vec=vec, pe=positions(model, text.shape[1], img_ids))
        return out[:, : text.shape[1]], out[:, text.shape[1] :]

    bg, img_bg = branch(bg)
    ent, img_ent = branch(ent)
    return theta * img_ent + (1 - theta) * img_bg, bg, ent  # Eq. 10 and 11


def positions(model, n_text, img_ids):
    txt_ids = torch.zeros(img_ids.shape[0], n_text, img_ids.shape[2])
    return model.pe_embedder(torch.cat((txt_ids, img_ids), 1))


@torch.no_grad()
def literal_flux(
    model, x, t, bg, ent, pooled_bg, pooled_ent, guidance, theta, mode, contrasts=None
):
    """The coupled model call on the host's Flux `model`; bg [B, L_bg, D], ent [B, L_ent, D], pooled
    [B, P].

    contrasts: a list that takes the contrast of each double block.
    """
    h, w = x.shape[2] // 2, x.shape[3] // 2
    img, img_ids = model.process_img(x)
    vec = model.time_in(timestep_embedding(t, 256)) + model.guidance_in(
        timestep_embedding(guidance, 256)
    )
    vec = vec + model.vector_in((1 - theta) * pooled_bg + theta * pooled_ent)
    img, bg, ent = model.img_in(img), model.txt_in(bg), model.txt_in(ent)
    pe = positions(model, bg.shape[1] + ent.shape[1], img_ids)
    contrasts = [] if contrasts is None else contrasts
    for block in model.double_blocks:
        img, bg, ent = double_block(block, img, bg, ent, vec, pe, theta, mode, contrasts)
    for block in model.single_blocks:
        img, bg, ent = single_block(block, img, bg, ent, vec, model, img_ids, theta)
    out = model.final_layer(img, vec)
    return rearrange(out, "b (h w) (c ph pw) -> b c (h ph) (w pw)", h=h, w=w, ph=2, pw=2)


@torch.no_grad()
def literal_local(model, x, sigmas, thetas, bg, ent, pooled_bg, pooled_ent, guidance=3.5):
    """A run of Euler's method in local mode; x [n, C, H, W], bg [1, L_bg, D], ent [n, L_ent, D],
    pooled alike.
    """
    n, plate = len(x), x[:1]
    for sigma, after, theta in zip(sigmas[:-1], sigmas[1:], thetas, strict=True):
        t, g = torch.full((n,), float(sigma)), torch.full((n,), guidance)
        contrasts = []
        v_plate = literal_flux(
            model, plate, t[:1], bg, ent[:1], pooled_bg, pooled_ent[:1], g[:1], 0.0, "exact"
        )
        v = literal_flux(
            model,
            x,
            t,
            bg.expand(n, -1, -1),
            ent,
            pooled_bg.expand(n, -1),
            pooled_ent,
            g,
            theta,
            "exact",
            contrasts,
        )
        x0, x0_plate = x - sigma * v, plate - sigma * v_plate
        if theta > 0:
            gates = [
                gate(sum(c[i] for c in contrasts) / len(contrasts), x0[i], x0_plate[0])
                for i in range(n)
            ]
            x0 = torch.stack(
                [g * one + (1 - g) * x0_plate[0] for g, one in zip(gates, x0, strict=True)]
            )
        x, plate = (
            y + (y - y0) / sigma * (after - sigma) for y, y0 in ((x, x0), (plate, x0_plate))
        )
    return x


def gate(contrast_S, x0_CHW, plate_CHW):
    """1 where the entity stands, 0 beside it; [H, W]."""
    H, W = x0_CHW.shape[1:]
    attended = scaled_up(contrast_S.reshape(H // 2, W // 2).numpy())
    squares = ((x0_CHW - plate_CHW) ** 2).mean(0).numpy()
    spots = [
        [squares[max(0, i - 1) : i + 2, max(0, j - 1) : j + 2].mean() for j in range(W)]
        for i in range(H)
    ]
    score = sum((s - s.mean()) / s.std(ddof=1) for s in (attended, np.log(np.array(spots) + 1e-4)))
    return torch.tensor(np.clip((1 / (1 + np.exp(-4 * (score - 1.5))) - 0.05) / 0.9, 0, 1)).float()


def scaled_up(small):
    """Bilinear, twice the size, the pixels' centres in place."""
    rows = [np.clip((np.arange(2 * n) - 0.5) / 2, 0, n - 1) for n in small.shape]
    return map_coordinates(small, np.meshgrid(*rows, indexing="ij"), order=1)
