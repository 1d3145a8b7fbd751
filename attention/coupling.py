"""The method's equations, on tensors alone.

Legend: B images, H heads, L tokens in the order [bg | ent | img], D head width. theta: weight of the entity text.
`attend(q, k, v, mask) -> (out_BHLD, lse_BHL)` is a kernel of kernels.py; `plain(q, k, v, mask) -> out` an ordinary one.
"""

import dataclasses
import math

import torch


@dataclasses.dataclass(frozen=True)
class Streams:
    """Where the streams stand along the token axis: `background` tokens first, `text` tokens of both texts in all."""

    background: int
    text: int

    @property
    def bg(self) -> slice:
        return slice(0, self.background)

    @property
    def ent(self) -> slice:
        return slice(self.background, self.text)

    @property
    def img(self) -> slice:
        return slice(self.text, None)

    @property
    def ent_img(self) -> slice:
        return slice(self.background, None)


class Part:
    """q, k, v and the additive mask (None, or [B or 1, H or 1, L or 1, L]) with views of them by stream."""

    def __init__(self, q_BHLD, k_BHLD, v_BHLD, mask=None):
        self.q, self.k, self.v, self.mask = q_BHLD, k_BHLD, v_BHLD, mask

    def attend(self, attend, queries: slice, keys: slice):
        """Attention of some queries over some keys, all views."""
        mask = masked(self.mask, queries, keys)
        return attend(self.q[:, :, queries], self.k[:, :, keys], self.v[:, :, keys], mask)


def masked(mask: torch.Tensor | None, queries: slice, keys: slice) -> torch.Tensor | None:
    """The part of a mask that belongs to some queries and keys."""
    if mask is None:
        return None
    return (mask[:, :, queries] if mask.shape[2] > 1 else mask)[..., keys]


def log_weight(weight: float) -> float:
    return math.log(weight) if weight > 0 else -math.inf


def scaled_keys(k_BHLD: torch.Tensor, theta: float, s: Streams) -> torch.Tensor:
    """Eq. 5: K_joint(theta) = [(1-theta)·K_bg | theta·K_ent | K_img]."""
    k_BHLD = k_BHLD.clone()
    k_BHLD[:, :, s.bg] *= 1 - theta
    k_BHLD[:, :, s.ent] *= theta
    return k_BHLD


def log_weights(q_BHLD: torch.Tensor, theta: float, s: Streams) -> torch.Tensor:
    """log(1-theta) for bg keys, log(theta) for ent keys, 0 for img keys: a mask [1, 1, L, L] in O(L) memory."""
    bias_L = q_BHLD.new_zeros(q_BHLD.shape[2])
    bias_L[s.bg] = log_weight(1 - theta)
    bias_L[s.ent] = log_weight(theta)
    return bias_L.expand(1, 1, bias_L.shape[0], bias_L.shape[0])


def weighted_double(qkv: Part, theta: float, s: Streams, attend) -> torch.Tensor:
    """Double blocks, exact mode: one softmax over all keys, with mass 1-theta on bg, theta on ent. [B, L, H, D]."""
    every = slice(None)
    (o_b, l_b), (o_e, l_e), (o_i, l_i) = (qkv.attend(attend, every, keys) for keys in (s.bg, s.ent, s.img))
    lse = torch.stack((l_b + log_weight(1 - theta), l_e + log_weight(theta), l_i))
    w_b, w_e, w_i = lse.softmax(0).unsqueeze(-1)
    out_BHLD = w_i * o_i
    out_BHLD += w_b * o_b
    out_BHLD += w_e * o_e
    return out_BHLD.to(qkv.q.dtype).transpose(1, 2)


def share(lse: torch.Tensor, lse_img: torch.Tensor) -> torch.Tensor:
    """w = sigmoid(l - l_i): what a text's keys get of the attention that text and image keys share. [B, H, L, 1]."""
    return torch.sigmoid(lse - lse_img).unsqueeze(-1)


def merged(o_img: torch.Tensor, lse_img: torch.Tensor, text: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
    """One branch: attention over [text, img] from the two attentions over text and over img, in float32."""
    o_text, lse_text = text
    return torch.lerp(o_img.float(), o_text.float(), share(lse_text, lse_img))


def branched_single(qkv: Part, theta: float, s: Streams, attend) -> torch.Tensor:
    """Single blocks, Eq. 6-11: bg sees [bg, img], ent sees [ent, img], img the mix of both branches. [B, L, H, D].

    out_img = (1-theta)·w_b·o_b + theta·w_e·o_e + (1 - (1-theta)·w_b - theta·w_e)·o_i, image over image once.
    """
    n_ent = s.text - s.background
    o_i, l_i = qkv.attend(attend, slice(None), s.img)
    o_e, l_e = qkv.attend(attend, s.ent_img, s.ent)
    o_b, l_b = qkv.attend(attend, s.img, s.bg)
    B, H, L, D = qkv.q.shape
    out_BLHD = qkv.q.new_empty(B, L, H, D)
    bg = merged(o_i[:, :, s.bg], l_i[:, :, s.bg], qkv.attend(attend, s.bg, s.bg))
    ent = merged(o_i[:, :, s.ent], l_i[:, :, s.ent], (o_e[:, :, :n_ent], l_e[:, :, :n_ent]))
    o_i, l_i = o_i[:, :, s.img].float(), l_i[:, :, s.img]
    img = o_i + (1 - theta) * share(l_b, l_i) * (o_b - o_i)
    img += theta * share(l_e[:, :, n_ent:], l_i) * (o_e[:, :, n_ent:] - o_i)
    for rows, part in ((s.bg, bg), (s.ent, ent), (s.img, img)):
        out_BLHD[:, rows] = part.transpose(1, 2)
    return out_BLHD


def branched_single_plain(qkv: Part, theta: float, s: Streams, plain) -> torch.Tensor:
    """Eq. 6-11 from two ordinary attention calls, over [bg, img] and [ent, img]. Same result, slower. [B, L, H·D]."""
    n_bg, n_ent = s.background, s.text - s.background
    q_b, k_b, v_b = (torch.cat((t[:, :, s.bg], t[:, :, s.img]), 2) for t in (qkv.q, qkv.k, qkv.v))
    bg = plain(q_b, k_b, v_b, without(qkv.mask, s.ent))
    ent = qkv.attend(plain, s.ent_img, s.ent_img)
    img = torch.lerp(bg[:, n_bg:].float(), ent[:, n_ent:].float(), theta).to(bg.dtype)
    return torch.cat((bg[:, :n_bg], ent[:, :n_ent], img), 1)


def without(mask: torch.Tensor | None, gone: slice) -> torch.Tensor | None:
    """A mask without the queries and keys of one stream."""
    if mask is None:
        return None
    mask = torch.cat((mask[..., : gone.start], mask[..., gone.stop :]), -1)
    return torch.cat((mask[:, :, : gone.start], mask[:, :, gone.stop :]), 2) if mask.shape[2] > 1 else mask
