"""The same as literal_families.py, of families in which the image attends to the text alone, in an
attention of its own.
"""

from contextlib import contextmanager
from functools import partial

import torch
from comfy.ldm.modules.attention import BasicTransformerBlock
from comfy.ldm.modules.diffusionmodules.openaimodel import Timestep
from einops import rearrange

from literal import joint_attention


def mixed_pooled(background, entity, theta):
    """The pooled vector of both texts."""
    vectors = [values["pooled_output"] for _, values in (background, entity)]
    return (1 - theta) * vectors[0] + theta * vectors[1]


@torch.no_grad()
def anima(model, x, t, background, entity, theta, mode):
    """The cross-attention reads both texts; all else is the host's."""
    texts = [
        model.preprocess_text_embeds(
            text, values["t5xxl_ids"][None], values["t5xxl_weights"][None, :, None]
        )
        for text, values in (background, entity)
    ]
    hook = partial(attend_to_both, texts, theta, mode)
    with hooked([block.cross_attn for block in model.blocks], hook):
        return model(x, t, texts[0])


@contextmanager
def hooked(modules, hook):
    """A forward hook on some modules."""
    handles = [module.register_forward_hook(hook) for module in modules]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def attend_to_both(texts, theta, mode, attn, args, result):
    """A forward hook: what a cross-attention of Anima gives for two texts."""
    (q, k_b, v_b), (_, k_e, v_e) = (
        [rearrange(t, "b l h d -> b h l d") for t in attn.compute_qkv(args[0], text)]
        for text in texts
    )
    none = q[:, :, :0]
    out = joint_attention(q, k_b, k_e, none, torch.cat((v_b, v_e), 2), theta, mode)
    return attn.output_proj(rearrange(out, "b h l d -> b l (h d)"))


@torch.no_grad()
def sdxl(model, x, t, background, entity, theta, mode):
    """The cross-attention reads both texts, the vector holds both pooled ones; all else is the
    host's.
    """
    h, w = (8 * side for side in x.shape[-2:])
    sizes = Timestep(256)(torch.tensor([h, w, 0, 0, h, w])).flatten()[None]
    y = torch.cat((mixed_pooled(background, entity, theta), sizes), 1)
    return unet(model, x, t, background, entity, theta, mode, y=y)


@torch.no_grad()
def sd15(model, x, t, background, entity, theta, mode):
    return unet(model, x, t, background, entity, theta, mode)


def unet(model, x, t, background, entity, theta, mode, **kwargs):
    texts = [text for text, _ in (background, entity)]
    across = [m.attn2 for m in model.modules() if isinstance(m, BasicTransformerBlock)]
    with hooked(across, partial(read_both, texts, theta, mode)):
        return model(x, t, texts[0], **kwargs)


def read_both(texts, theta, mode, attn, args, result):
    """A forward hook: what a cross-attention of a UNet gives for two texts."""
    q = attn.to_q(args[0])
    k_b, k_e = (attn.to_k(text) for text in texts)
    v = torch.cat([attn.to_v(text) for text in texts], 1)
    q, k_b, k_e, v = (rearrange(t, "b l (h d) -> b h l d", h=attn.heads) for t in (q, k_b, k_e, v))
    out = joint_attention(q, k_b, k_e, q[:, :, :0], v, theta, mode)
    return attn.to_out(rearrange(out, "b h l d -> b l (h d)"))
