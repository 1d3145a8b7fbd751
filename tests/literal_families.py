"""The coupled call of each family to the letter, slow and on its own: no kernel, merge or hook of
the pack is used. Both texts are separate tensors all the way, each embedded, placed and refined as
the host does with it alone.

Every function takes the host's diffusion model, x [1, ...], t [1], both texts as entries [context,
values], theta and the mode, and gives the model's output.
"""

import torch
from comfy.ldm.flux.layers import timestep_embedding
from comfy.ldm.flux.math import apply_rope
from einops import rearrange
from torch.nn import functional as F

from literal import joint_attention, modulated, qkv


def ids_of(n, axes, counted=(), start=0):
    """Positions [1, n, axes]: counted up on some axes, 0 on the others."""
    ids = torch.zeros(1, n, axes)
    for axis in counted:
        ids[:, :, axis] = torch.arange(start, start + n).float()
    return ids


def joined(parts, theta, mode):
    """Joint attention of [(q, k, v) of bg, of ent, of img], each placed; [B, L, E] of each."""
    (q_b, k_b, v_b), (q_e, k_e, v_e), (q_i, k_i, v_i) = parts
    q, v = torch.cat((q_b, q_e, q_i), 2), torch.cat((v_b, v_e, v_i), 2)
    out = joint_attention(q, k_b, k_e, k_i, v, theta, mode)
    lengths = (q_b.shape[2], q_e.shape[2], q_i.shape[2])
    return rearrange(out, "b h l d -> b l (h d)").split(lengths, 1)


def placed(q, k, v, pe):
    return (*apply_rope(q, k, pe), v)


def flux_like(model, img, img_ids, texts, counted, double_mods, single_mod, theta, mode):
    """Double and single blocks of the host's Flux, texts already embedded; what is before the
    final layer.
    """
    axes = img_ids.shape[-1]
    ids = [ids_of(text.shape[1], axes, counted) for text in texts]
    pes = [model.pe_embedder(i) for i in (*ids, img_ids)]
    for i, block in enumerate(model.double_blocks):
        img_mods, txt_mods = double_mods(i)
        heads, parts = block.num_heads, []
        for x, pe in zip((*texts, img), pes, strict=True):
            mine = x is img
            attn = block.img_attn if mine else block.txt_attn
            norm = block.img_norm1 if mine else block.txt_norm1
            mod = (img_mods if mine else txt_mods)[0]
            parts.append(placed(*qkv(attn, modulated(norm, x, mod), heads), pe))
        attended = joined(parts, theta, mode)
        rest = []
        for x, a in zip((*texts, img), attended, strict=True):
            mine = x is img
            side = "img" if mine else "txt"
            mods = img_mods if mine else txt_mods
            x = x + mods[0].gate * getattr(block, f"{side}_attn").proj(a)
            mlp, norm = getattr(block, f"{side}_mlp"), getattr(block, f"{side}_norm2")
            rest.append(x + mods[1].gate * mlp(modulated(norm, x, mods[1])))
        *texts, img = rest
    for i, block in enumerate(model.single_blocks):
        outs = []
        for j, text in enumerate(texts):  # Eq. 6-9: the host's whole block on [text, img]
            pe = model.pe_embedder(torch.cat((ids[j], img_ids), 1))
            out = block(torch.cat((text, img), 1), vec=single_mod(i), pe=pe)
            outs.append(out.split((text.shape[1], img.shape[1]), 1))
        texts = [out[0] for out in outs]
        img = (1 - theta) * outs[0][1] + theta * outs[1][1]  # Eq. 10 and 11
    return img


@torch.no_grad()
def flux2(model, x, t, background, entity, theta, mode):
    h, w = x.shape[-2:]
    img, img_ids = model.process_img(x)
    vec = model.time_in(timestep_embedding(t, 256))
    vec = vec + model.guidance_in(timestep_embedding(torch.full((1,), 3.5), 256))
    both = [F.pad(text, (0, 0, 512 - text.shape[1], 0)) for text, _ in (background, entity)]
    texts = [model.txt_in(text) for text in both]
    mods = model.double_stream_modulation_img(vec), model.double_stream_modulation_txt(vec)
    single, _ = model.single_stream_modulation(vec)
    img = flux_like(
        model,
        model.img_in(img),
        img_ids,
        texts,
        3,
        vec,
        lambda i: mods,
        lambda i: single,
        theta,
        mode,
    )
    return rearrange(model.final_layer(img, vec), "b (h w) c -> b c h w", h=h, w=w)
