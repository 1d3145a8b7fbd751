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
from scipy.ndimage import binary_dilation, binary_erosion, label, map_coordinates


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


class Keys:
    """The plate's image keys and values in each block; and where an image has its own, [S]."""

    def __init__(self):
        self.kept, self.own, self.turn = [], None, 0

    def __call__(self, k, v):
        """Keeps them; or, once `own` is given, gives them back for what is not an image's own."""
        if self.own is None:
            self.kept.append((k, v))
            return k, v
        plate = self.kept[self.turn]
        self.turn += 1
        own = self.own[None, None, :, None]
        return tuple(
            torch.where(own, mine, theirs) for mine, theirs in zip((k, v), plate, strict=True)
        )

    def of(self, own):
        """For an image."""
        image = Keys()
        image.kept, image.own = self.kept, own
        return image


def double_block(block, img, bg, ent, vec, pe, theta, mode, contrasts, keys):
    heads = block.num_heads
    (img_mod1, img_mod2), (txt_mod1, txt_mod2) = block.img_mod(vec), block.txt_mod(vec)
    q_b, k_b, v_b = qkv(block.txt_attn, modulated(block.txt_norm1, bg, txt_mod1), heads)
    q_e, k_e, v_e = qkv(block.txt_attn, modulated(block.txt_norm1, ent, txt_mod1), heads)
    q_i, k_i, v_i = qkv(block.img_attn, modulated(block.img_norm1, img, img_mod1), heads)
    q, k = apply_rope(torch.cat((q_b, q_e, q_i), 2), torch.cat((k_b, k_e, k_i), 2), pe)
    n_bg, n_ent = bg.shape[1], ent.shape[1]
    k_b, k_e, k_i = k.split((n_bg, n_ent, img.shape[1]), 2)
    k_i, v_i = keys(k_i, v_i) if keys else (k_i, v_i)
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


def single_block(block, img, bg, ent, vec, model, img_ids, theta, keys):
    kept = None

    def patch(q, k, v, extra_options, **_):
        """Both branches have the same image keys and values."""
        nonlocal kept
        n_text = k.shape[2] - img.shape[1]
        kept = kept or keys(k[:, :, n_text:], v[:, :, n_text:])
        return {
            name: torch.cat((t[:, :, :n_text], own), 2)
            for name, t, own in zip("kv", (k, v), kept, strict=True)
        }

    options = {"patches": {"attn1_patch": [patch]}} if keys else {}

    def branch(text):
        """Eq. 6-9: the host's whole block on [text, img]."""
        out = block(
            torch.cat((text, img), 1),
            vec=vec,
            pe=positions(model, text.shape[1], img_ids),
            transformer_options=options,
        )
        return out[:, : text.shape[1]], out[:, text.shape[1] :]

    bg, img_bg = branch(bg)
    ent, img_ent = branch(ent)
    return theta * img_ent + (1 - theta) * img_bg, bg, ent  # Eq. 10 and 11


def positions(model, n_text, img_ids):
    txt_ids = torch.zeros(img_ids.shape[0], n_text, img_ids.shape[2])
    return model.pe_embedder(torch.cat((txt_ids, img_ids), 1))


@torch.no_grad()
def literal_flux(
    model, x, t, bg, ent, pooled_bg, pooled_ent, guidance, theta, mode, contrasts=None, keys=None
):
    """The coupled model call on the host's Flux `model`; bg [B, L_bg, D], ent [B, L_ent, D], pooled
    [B, P].

    contrasts: a list that takes the contrast of each double block. keys: keeps the image keys and
    values of all blocks, or gives the plate's.
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
        img, bg, ent = double_block(block, img, bg, ent, vec, pe, theta, mode, contrasts, keys)
    for block in model.single_blocks:
        img, bg, ent = single_block(block, img, bg, ent, vec, model, img_ids, theta, keys)
    out = model.final_layer(img, vec)
    return rearrange(out, "b (h w) (c ph pw) -> b c (h ph) (w pw)", h=h, w=w, ph=2, pw=2)


@torch.no_grad()
def literal_local(
    model, x, sigmas, thetas, bg, ent, pooled_bg, pooled_ent, guidance=3.5, regions=None
):
    """A run of Euler's method in local mode; x [n, C, H, W], bg [1, L_bg, D], ent [n, L_ent, D],
    pooled alike. regions: [n, h, w], where entities may stand.

    Returns the images, [n, C, H, W], and what is each one's own, [n, H, W].
    """
    n, H, W = len(x), *x.shape[2:]
    allowed = torch.ones(n, H, W, dtype=torch.bool) if regions is None else scaled_by_two(regions)
    plate, own, parted, decided = x[:1], allowed, None, False
    for sigma, after, theta in zip(sigmas[:-1], sigmas[1:], thetas, strict=True):
        if theta > 0 and parted is None:
            parted = float(sigma)
        seen = torch.where(own[:, None], x, plate) if parted else x
        t, g = torch.full((1,), float(sigma)), torch.full((1,), guidance)
        texts = (bg, ent[:1], pooled_bg, pooled_ent[:1])
        keys = Keys()
        v_plate = literal_flux(model, plate, t, *texts, g, 0.0, "exact", keys=keys)
        x0, x0_plate, contrasts = [], plate - sigma * v_plate, []
        for i in range(n):
            texts = (bg, ent[i : i + 1], pooled_bg, pooled_ent[i : i + 1])
            contrasts.append([])
            image_keys = keys.of(tokens(own[i]).flatten()) if parted else None
            v = literal_flux(
                model, seen[i : i + 1], t, *texts, g, theta, "exact", contrasts[i], image_keys
            )
            x0.append(seen[i : i + 1] - sigma * v)
        x0 = torch.cat(x0)
        if parted:
            last = float(after) == 0
            if not decided and (last or sigma <= 0.975 * parted):
                decided = True
                found = [
                    region(sum(c[0] for c in contrasts[i]) / len(contrasts[i]), x0[i], x0_plate[0])
                    for i in range(n)
                ]
                found = [one & before for one, before in zip(found, own, strict=True)]
                found = [one if one.any() else old for one, old in zip(found, own, strict=True)]
                whole = [one.float().mean() > 0.85 for one in found]
                own = torch.stack([one | all_ for one, all_ in zip(found, whole, strict=True)])
                own = own & allowed
            x0 = torch.where(own[:, None], x0, x0_plate)
        x, plate = (
            y + (y - y0) / sigma * (after - sigma) for y, y0 in ((x, x0), (plate, x0_plate))
        )
    return torch.where(own[:, None], x, plate), own


def scaled_by_two(one):
    """[..., h, w] -> [..., 2h, 2w]."""
    return torch.from_numpy(np.kron(one.numpy(), np.ones((2, 2))) > 0)


def tokens(one):
    """[H, W] -> [h, w]: those of which any pixel is in."""
    H, W = one.shape
    return one.reshape(H // 2, 2, W // 2, 2).amax((1, 3))


def region(contrast_S, x0_CHW, plate_CHW):
    """Where the entity stands, with what is around; [H, W]."""
    H, W = x0_CHW.shape[1:]
    attended = scaled_up(contrast_S.reshape(H // 2, W // 2).numpy())
    squares = ((x0_CHW - plate_CHW) ** 2).mean(0).numpy()
    spots = [
        [squares[max(0, i - 1) : i + 2, max(0, j - 1) : j + 2].mean() for j in range(W)]
        for i in range(H)
    ]
    differs = (np.array(spots) + 1e-4) ** 0.25
    one, two = ((s - s.mean()) / s.std(ddof=1) for s in (differs, attended))
    score = one + two / 4
    parts, count = label(score > two_classes(score), np.ones((3, 3)))
    sizes = [(parts == i + 1).sum() for i in range(count)]
    large = [i + 1 for i in range(count) if sizes[i] >= max(sizes) / 4]
    margin = min(H, W) // 16
    far = binary_dilation(np.isin(parts, large), square(2 * margin))
    return torch.from_numpy(binary_erosion(far, square(margin), border_value=1))


def square(by):
    return np.ones((2 * by + 1, 2 * by + 1))


def two_classes(score):
    """Between which two numbers the sum of squares around two means is least."""
    values = np.sort(score.flatten())
    spread = [
        sum(((part - part.mean()) ** 2).sum() for part in (values[:k], values[k:]))
        for k in range(1, len(values))
    ]
    k = int(np.argmin(spread)) + 1
    return (values[k - 1] + values[k]) / 2


def scaled_up(small):
    """Bilinear, twice the size, the pixels' centres in place."""
    rows = [np.clip((np.arange(2 * n) - 0.5) / 2, 0, n - 1) for n in small.shape]
    return map_coordinates(small, np.meshgrid(*rows, indexing="ij"), order=1)
