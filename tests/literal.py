"""The paper's equations to the letter, slow and on their own: no kernel, merge or hook of the pack is used.

Both texts are separate tensors all the way. Double blocks: Eq. 5 with an explicit softmax, from the block's own layers.
Single blocks: Eq. 6-11, the host's block run once on [bg, img] and once on [ent, img], mixed after the whole block.
Local mode: both branches in the double blocks too, and theta times the share of each image token.
"""

import torch
from comfy.ldm.flux.layers import apply_mod, timestep_embedding
from comfy.ldm.flux.math import apply_rope
from einops import rearrange


def qkv(attn, x, heads):
    q, k, v = rearrange(attn.qkv(x), "b l (three h d) -> three b h l d", three=3, h=heads)
    return (*attn.norm(q, k, v), v)


def modulated(norm, x, mod):
    return apply_mod(norm(x), 1 + mod.scale, mod.shift)


def joint_attention(q, k_bg, k_ent, k_img, v, theta, mode):
    """Eq. 5 in paper mode; in exact mode the weights multiply the attention mass."""
    scale = q.shape[-1] ** -0.5
    if mode == "paper":
        logits = q @ torch.cat(((1 - theta) * k_bg, theta * k_ent, k_img), 2).transpose(2, 3) * scale
        return logits.softmax(-1) @ v
    mass = (q @ torch.cat((k_bg, k_ent, k_img), 2).transpose(2, 3) * scale).double().exp()
    n_bg, n_ent = k_bg.shape[2], k_ent.shape[2]
    mass[..., :n_bg] *= 1 - theta
    mass[..., n_bg : n_bg + n_ent] *= theta
    return (mass / mass.sum(-1, keepdim=True)).to(v.dtype) @ v


class Shares:
    """Local mode: theta of each image token, from how its attention to [bg | ent] falls in the double blocks so far."""

    def __init__(self, theta):
        self.theta, self.contrasts = theta, []

    def see(self, q, k_bg, k_ent):
        masses = [(q @ k.transpose(2, 3) * q.shape[-1] ** -0.5).double().exp().sum(-1) for k in (k_bg, k_ent)]
        self.contrasts.append((masses[1] / masses[0]).log().mean(1))

    def theta_BS1(self):
        contrast = sum(self.contrasts) / len(self.contrasts)
        standard = (contrast - contrast.mean(1, keepdim=True)) / contrast.std(1, keepdim=True)
        return (self.theta / (1 + torch.exp(-4.0 * (standard - 0.5)))).float()[:, :, None]


def branched_attention(q, k_bg, k_ent, k_img, v, shares):
    """Each text sees itself and the image; the image sees both branches, mixed by the shares."""
    n_bg, n_ent = k_bg.shape[2], k_ent.shape[2]
    q_bg, q_ent, q_img = q.split((n_bg, n_ent, k_img.shape[2]), 2)
    v_bg, v_ent, v_img = v.split((n_bg, n_ent, k_img.shape[2]), 2)
    shares.see(q_img, k_bg, k_ent)

    def attend(queries, k_text, v_text):
        logits = queries @ torch.cat((k_text, k_img), 2).transpose(2, 3) * q.shape[-1] ** -0.5
        return logits.softmax(-1) @ torch.cat((v_text, v_img), 2)

    theta = shares.theta_BS1()[:, None]
    img = (1 - theta) * attend(q_img, k_bg, v_bg) + theta * attend(q_img, k_ent, v_ent)
    return torch.cat((attend(q_bg, k_bg, v_bg), attend(q_ent, k_ent, v_ent), img), 2)


def double_block(block, img, bg, ent, vec, pe, theta, mode):
    heads = block.num_heads
    (img_mod1, img_mod2), (txt_mod1, txt_mod2) = block.img_mod(vec), block.txt_mod(vec)
    q_b, k_b, v_b = qkv(block.txt_attn, modulated(block.txt_norm1, bg, txt_mod1), heads)
    q_e, k_e, v_e = qkv(block.txt_attn, modulated(block.txt_norm1, ent, txt_mod1), heads)
    q_i, k_i, v_i = qkv(block.img_attn, modulated(block.img_norm1, img, img_mod1), heads)
    q, k = apply_rope(torch.cat((q_b, q_e, q_i), 2), torch.cat((k_b, k_e, k_i), 2), pe)
    n_bg, n_ent = bg.shape[1], ent.shape[1]
    k_b, k_e, k_i = k.split((n_bg, n_ent, img.shape[1]), 2)
    v = torch.cat((v_b, v_e, v_i), 2)
    if mode == "local":
        out = branched_attention(q, k_b, k_e, k_i, v, theta)
    else:
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
def literal_flux(model, x, t, bg, ent, pooled_bg, pooled_ent, guidance, theta, mode):
    """The coupled model call on the host's Flux `model`; bg [B, L_bg, D], ent [B, L_ent, D], pooled [B, P]."""
    h, w = x.shape[2] // 2, x.shape[3] // 2
    img, img_ids = model.process_img(x)
    vec = model.time_in(timestep_embedding(t, 256)) + model.guidance_in(timestep_embedding(guidance, 256))
    vec = vec + model.vector_in(pooled_bg if mode == "local" else (1 - theta) * pooled_bg + theta * pooled_ent)
    theta = Shares(theta) if mode == "local" else theta
    img, bg, ent = model.img_in(img), model.txt_in(bg), model.txt_in(ent)
    pe = positions(model, bg.shape[1] + ent.shape[1], img_ids)
    for block in model.double_blocks:
        img, bg, ent = double_block(block, img, bg, ent, vec, pe, theta, mode)
    theta = theta.theta_BS1() if mode == "local" else theta
    for block in model.single_blocks:
        img, bg, ent = single_block(block, img, bg, ent, vec, model, img_ids, theta)
    out = model.final_layer(img, vec)
    return rearrange(out, "b (h w) (c ph pw) -> b c (h ph) (w pw)", h=h, w=w, ph=2, pw=2)
