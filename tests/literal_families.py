"""The coupled call of each family to the letter, slow and on its own: no kernel, merge or hook of
the pack is used. Both texts are separate tensors all the way, each embedded, placed and refined as
the host does with it alone.

Every function takes the host's diffusion model, x [1, ...], t [1], both texts as entries [context,
values], theta and the mode, and gives the model's output.
"""

from functools import partial

import torch
from comfy.ldm.common_dit import pad_to_patch_size
from comfy.ldm.flux.layers import timestep_embedding
from comfy.ldm.flux.math import apply_rope
from comfy.ldm.ideogram4.model import _apply_rope_split_half1, _split_half_rope_matrix
from comfy.text_encoders.llama import precompute_freqs_cis
from einops import rearrange
from literal_across import anima, mixed_pooled, sd15, sdxl
from torch.nn import functional as F

from literal import joint_attention, modulated, qkv

__all__ = ["anima", "sd15", "sdxl"]  # with those below: a family's name is its function's


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


def unpatched(tokens, x):
    """Tokens of 2 × 2 latent pixels as a picture of x's size."""
    h, w = -(-x.shape[-2] // 2), -(-x.shape[-1] // 2)
    out = rearrange(tokens, "b (h w) (c p q) -> b c (h p) (w q)", h=h, w=w, p=2, q=2)
    return out[..., : x.shape[-2], : x.shape[-1]]


@torch.no_grad()
def chroma(model, x, t, background, entity, theta, mode):
    padded = pad_to_patch_size(x, (2, 2))
    h, w = padded.shape[-2] // 2, padded.shape[-1] // 2
    img = model.img_in(rearrange(padded, "b c (h p) (w q) -> b (h w) (c p q)", p=2, q=2))
    img_ids = torch.zeros(1, h * w, 3)
    img_ids[0, :, 1] = torch.arange(h).repeat_interleave(w).float()
    img_ids[0, :, 2] = torch.arange(w).repeat(h).float()
    of_time = torch.cat((timestep_embedding(t, 16), timestep_embedding(torch.zeros(1), 16)), 1)
    indices = timestep_embedding(torch.arange(344), 32)
    vectors = torch.cat((of_time[:, None].expand(-1, 344, -1), indices[None]), 2)
    mods = model.distilled_guidance_layer(vectors)

    def double(i):
        return [model.get_modulations(mods, f"double_{side}", idx=i) for side in ("img", "txt")]

    texts = [model.txt_in(text) for text, _ in (background, entity)]
    single = partial(model.get_modulations, mods, "single")
    img = flux_like(model, img, img_ids, texts, (), double, lambda i: single(idx=i), theta, mode)
    return unpatched(model.final_layer(img, vec=model.get_modulations(mods, "final")), x)


@torch.no_grad()
def lumina_2(model, x, t, background, entity, theta, mode):
    """Counted from the image, which stands at 0 on the first axis, right after each text."""
    padded = pad_to_patch_size(x, (2, 2))
    h, w = padded.shape[-2] // 2, padded.shape[-1] // 2
    vec = model.t_embedder((1 - t) * model.time_scale, dtype=x.dtype)
    texts, ids = [], []
    for text, _ in (background, entity):
        text = filled(model, model.cap_embedder(text), "cap_pad_token")
        ids.append(ids_of(text.shape[1], 3, (0,), -text.shape[1]))
        for layer in model.context_refiner:
            text = layer(text, None, model.rope_embedder(ids[-1]).movedim(1, 2))
        texts.append(text)
    img = rearrange(padded, "b c (h p) (w q) -> b (h w) (p q c)", p=2, q=2)
    img = filled(model, model.x_embedder(img), "x_pad_token")
    lengths = [text.shape[1] for text in texts]
    ids.append(next_dit_ids(img.shape[1], h, w, lengths, theta))
    pes = [model.rope_embedder(i).movedim(1, 2) for i in ids]
    for layer in model.noise_refiner:
        img = layer(img, None, pes[2], vec)
    for layer in model.layers:
        *texts, img = next_dit_block(layer, texts, img, vec, pes, theta, mode)
    tokens = model.final_layer(img, vec)[:, : h * w]
    out = rearrange(tokens, "b (h w) (p q c) -> b c (h p) (w q)", h=h, w=w, p=2, q=2)
    return -out[..., : x.shape[-2], : x.shape[-1]]


z_image = lumina_2


def filled(model, tokens, pad):
    """Z-Image's learned tokens at the end, up to a multiple of 32."""
    if model.pad_tokens_multiple is None:
        return tokens
    missing = -tokens.shape[1] % model.pad_tokens_multiple
    return torch.cat((tokens, getattr(model, pad)[None].expand(1, missing, -1)), 1)


def next_dit_ids(n, h, w, lengths, theta):
    """What fills up the image stands before the text, where the text begins."""
    ids = torch.zeros(1, n, 3)
    ids[0, : h * w, 1] = torch.arange(h).repeat_interleave(w).float()
    ids[0, : h * w, 2] = torch.arange(w).repeat(h).float()
    ids[0, h * w :, 0] = -1 - (1 - theta) * lengths[0] - theta * lengths[1]
    return ids


def next_dit_block(block, texts, img, vec, pes, theta, mode):
    scale1, gate1, scale2, gate2 = block.adaLN_modulation(vec)[:, None].chunk(4, -1)
    attn, H, D = block.attention, block.attention.n_local_heads, block.attention.head_dim
    streams, parts = (*texts, img), []
    for x, pe in zip(streams, pes, strict=True):
        x = block.attention_norm1(x) * (1 + scale1)
        q, k, v = attn.qkv(x).split([H * D] + [attn.n_local_kv_heads * D] * 2, -1)
        q, k, v = (rearrange(y, "b l (h d) -> b l h d", d=D) for y in (q, k, v))
        k, v = (y.repeat_interleave(attn.n_rep, 2) for y in (attn.k_norm(k), v))
        part = placed(attn.q_norm(q), k, v, pe)
        parts.append([y.movedim(1, 2) for y in part])
    outs = []
    for x, a in zip(streams, joined(parts, theta, mode), strict=True):
        x = x + gate1.tanh() * block.attention_norm2(attn.out(a))
        y = block.feed_forward(block.ffn_norm1(x) * (1 + scale2))
        outs.append(x + gate2.tanh() * block.ffn_norm2(y))
    return outs


@torch.no_grad()
def krea_2(model, x, t, background, entity, theta, mode):
    img, img_ids, _, _ = model.process_img(x[:, :, 0])
    texts = [
        model.txtmlp(model.txtfusion(rearrange(text, "b l (n d) -> b l n d", d=model.txtdim)))
        for text, _ in (background, entity)
    ]
    pes = [model.pe_embedder(ids_of(text.shape[1], 3)) for text in texts]
    pes.append(model.pe_embedder(img_ids))
    img = model.first(img)
    vec = model.tmlp(timestep_embedding(t, model.tdim)[:, None])
    for block in model.blocks:
        *texts, img = krea_block(block, (*texts, img), model.tproj(vec), pes, theta, mode)
    return unpatched(model.last(img, vec), x)[:, :, None]


def krea_block(block, streams, vec, pes, theta, mode):
    scale1, shift1, gate1, scale2, shift2, gate2 = block.mod(vec)
    attn, parts = block.attn, []
    moved = [(1 + scale1) * block.prenorm(x) + shift1 for x in streams]
    for x, pe in zip(moved, pes, strict=True):
        q, k, v = (
            rearrange(to(x), "b l (h d) -> b h l d", d=attn.headdim)
            for to in (attn.wq, attn.wk, attn.wv)
        )
        q, k, v = placed(*attn.qknorm(q, k), v, pe)
        groups = attn.heads // attn.kvheads
        parts.append((q, k.repeat_interleave(groups, 1), v.repeat_interleave(groups, 1)))
    outs = []
    for x, y, a in zip(streams, moved, joined(parts, theta, mode), strict=True):
        x = x + gate1 * attn.wo(a * attn.gate(y).sigmoid())
        outs.append(x + gate2 * block.mlp((1 + scale2) * block.postnorm(x) + shift2))
    return outs


@torch.no_grad()
def ideogram_4(model, x, t, background, entity, theta, mode):
    h, w = x.shape[-2:]
    tokens = model._img_to_tokens(x)
    mark = model.embed_image_indicator.weight
    texts = [
        model.llm_cond_proj(model.llm_cond_norm(text)) + mark[0] for text, _ in (background, entity)
    ]
    img = model.input_proj(tokens) + mark[1]
    vec = F.silu(model.adaln_proj(model.t_embedding(1 - t, dtype=x.dtype)))[:, None]
    places = [torch.arange(text.shape[1]).float().expand(3, -1) for text in texts]
    places.append(model._image_position_ids(h, w, "cpu").T)
    pes = [ideogram_rotation(model, place) for place in places]
    streams = (*texts, img)
    for block in model.layers:
        streams = ideogram_block(block, streams, vec, pes, theta, mode)
    return -model._tokens_to_img(model.final_layer(streams[2], vec), h, w)


def ideogram_rotation(model, place):
    freqs = precompute_freqs_cis(
        model.head_dim, place, model.rope_theta,
        rope_dims=model.mrope_section, interleaved_mrope=True,
    )  # fmt: skip
    return _split_half_rope_matrix(freqs)


def ideogram_block(block, streams, vec, pes, theta, mode):
    scale1, gate1, scale2, gate2 = block.adaln_modulation(vec).chunk(4, -1)
    attn, parts = block.attention, []
    for x, pe in zip(streams, pes, strict=True):
        qkv = attn.qkv(block.attention_norm1(x) * (1 + scale1))
        q, k, v = rearrange(qkv, "b l (n h d) -> n b l h d", n=3, h=attn.num_heads)
        q = _apply_rope_split_half1(attn.norm_q(q), pe)
        k = _apply_rope_split_half1(attn.norm_k(k), pe)
        parts.append([y.transpose(1, 2) for y in (q, k, v)])
    outs = []
    for x, a in zip(streams, joined(parts, theta, mode), strict=True):
        x = x + gate1.tanh() * block.attention_norm2(attn.o(a))
        y = block.feed_forward(block.ffn_norm1(x) * (1 + scale2))
        outs.append(x + gate2.tanh() * block.ffn_norm2(y))
    return outs


@torch.no_grad()
def qwen_image(model, x, t, background, entity, theta, mode):
    img, img_ids, _ = model.process_img(x)
    h, w = -(-x.shape[-2] // 2), -(-x.shape[-1] // 2)
    texts = [model.txt_in(model.txt_norm(text)) for text, _ in (background, entity)]
    img = model.img_in(img)
    start = max(h // 2, w // 2)
    ids = [ids_of(text.shape[1], 3, (0, 1, 2), start) for text in texts]
    pes = [model.pe_embedder(i) for i in (*ids, img_ids)]
    vec = model.time_text_embed(t, img)
    for block in model.transformer_blocks:
        *texts, img = qwen_block(block, texts, img, vec, pes, theta, mode)
    out = model.proj_out(model.norm_out(img, vec))
    return unpatched(out, x)[:, :, None]


def qwen_block(block, texts, img, vec, pes, theta, mode):
    attn = block.attn
    of_img = (attn.to_q, attn.to_k, attn.to_v, attn.norm_q, attn.norm_k)
    of_txt = (
        attn.add_q_proj, attn.add_k_proj, attn.add_v_proj, attn.norm_added_q, attn.norm_added_k,
    )  # fmt: skip
    streams = []
    for x in (*texts, img):
        side = "img" if x is img else "txt"
        mod1, mod2 = getattr(block, f"{side}_mod")(vec)[:, None].chunk(2, -1)
        streams.append((x, side, mod1.chunk(3, -1), mod2.chunk(3, -1)))
    parts = []
    for (x, side, (shift, scale, _), _), pe in zip(streams, pes, strict=True):
        x = getattr(block, f"{side}_norm1")(x) * (1 + scale) + shift
        to_q, to_k, to_v, norm_q, norm_k = of_img if side == "img" else of_txt
        q, k, v = (
            rearrange(to(x), "b l (h d) -> b h l d", h=attn.heads) for to in (to_q, to_k, to_v)
        )
        parts.append(placed(norm_q(q), norm_k(k), v, pe))
    attended = joined(parts, theta, mode)
    outs = []
    for (x, side, (_, _, gate), (shift, scale, gate2)), a in zip(streams, attended, strict=True):
        x = x + gate * (attn.to_out[0] if side == "img" else attn.to_add_out)(a)
        moved = getattr(block, f"{side}_norm2")(x) * (1 + scale) + shift
        outs.append(x + gate2 * getattr(block, f"{side}_mlp")(moved))
    return outs


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
    img = model.img_in(img)
    img = flux_like(model, img, img_ids, texts, (3,), lambda i: mods, lambda i: single, theta, mode)
    return rearrange(model.final_layer(img, vec), "b (h w) c -> b c h w", h=h, w=w)


@torch.no_grad()
def stable_diffusion_35(model, x, t, background, entity, theta, mode):
    pooled = mixed_pooled(background, entity, theta)
    vec = model.t_embedder(t, dtype=x.dtype) + model.y_embedder(pooled)
    img = model.x_embedder(x) + model.cropped_pos_embed(x.shape[-2:])
    texts = [model.context_embedder(text) for text, _ in (background, entity)]
    for block in model.joint_blocks:
        *texts, img = sd3_block(block, texts, img, vec, theta, mode)
    return unpatched_last(model.final_layer(img, vec), x)


def sd3_block(block, texts, img, vec, theta, mode):
    of_text, of_img = block.context_block, block.x_block
    heads, own = of_img.attn.num_heads, None
    parts, kept = [], []

    def split(t):
        return rearrange(t.flatten(2), "b l (h d) -> b h l d", h=heads)

    for x in (*texts, img):
        mine = of_img if x is img else of_text
        if x is img and of_img.x_block_self_attn:
            qkv_joint, qkv_own, rest = mine.pre_attention_x(x, vec)
            q, k, v = (split(t) for t in qkv_own)
            own = (q @ k.transpose(2, 3) * q.shape[-1] ** -0.5).softmax(-1) @ v
            own = rearrange(own, "b h l d -> b l (h d)")
        else:
            qkv_joint, rest = mine.pre_attention(x, vec)
        parts.append([split(t) for t in qkv_joint])
        kept.append(rest)
    *attended, a_img = joined(parts, theta, mode)
    if of_text.pre_only:
        texts = [None, None]
    else:
        texts = [
            of_text.post_attention(a, *rest) for a, rest in zip(attended, kept[:2], strict=True)
        ]
    if own is None:
        return *texts, of_img.post_attention(a_img, *kept[2])
    return *texts, of_img.post_attention_x(a_img, own, *kept[2])


def unpatched_last(tokens, x):
    """As unpatched, for tokens whose channels come last."""
    h, w = -(-x.shape[-2] // 2), -(-x.shape[-1] // 2)
    out = rearrange(tokens, "b (h w) (p q c) -> b c (h p) (w q)", h=h, w=w, p=2, q=2)
    return out[..., : x.shape[-2], : x.shape[-1]]


@torch.no_grad()
def hunyuanimage_21(model, x, t, background, entity, theta, mode):
    h, w = x.shape[-2:]
    vec = model.time_in(timestep_embedding(t, 256, time_factor=1.0))
    vec = vec + model.guidance_in(timestep_embedding(torch.full((1,), 6.0), 256))
    texts = []
    for text, values in (background, entity):
        text = model.txt_in(text, t, None)
        quoted = values.get("conditioning_byt5small")
        texts.append(text if quoted is None else torch.cat((text, model.byt5_in(quoted)), 1))
    img_ids = torch.stack(torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij"), -1)
    img_ids = img_ids.reshape(1, h * w, 2).float()

    def double(i):
        block = model.double_blocks[i]
        return block.img_mod(vec), block.txt_mod(vec)

    img = model.img_in(x)
    img = flux_like(model, img, img_ids, texts, (), double, lambda i: vec, theta, mode)
    return rearrange(model.final_layer(img, vec), "b (h w) c -> b c h w", h=h, w=w)
