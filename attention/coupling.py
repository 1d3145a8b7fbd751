"""The method's equations, on tensors alone.

Legend: B images, H heads, L tokens in the order [bg | ent | img], S image tokens, D head width.
theta: weight of the entity text. `attend(q, k, v, mask) -> (out_BHLD, lse_BHL)` is a kernel of
kernels.py; `plain(q, k, v, mask) -> out` an ordinary one.
"""

import dataclasses
from collections.abc import Callable

import torch

Theta = (
    float | torch.Tensor
)  # a tensor of no axes, or [B, 1, 1], one for each row; float32, on the device
ROWS = 1024  # queries merged at once


@dataclasses.dataclass(frozen=True)
class Streams:
    """Where the streams stand along the token axis: `background` tokens first, `text` tokens of
    both texts in all.
    """

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
    """q, k, v and the additive mask (None, or [B or 1, H or 1, L or 1, L]) with views of them by
    stream.
    """

    def __init__(self, q_BHLD, k_BHLD, v_BHLD, mask=None):
        self.q, self.k, self.v, self.mask = q_BHLD, k_BHLD, v_BHLD, mask
        self.length = q_BHLD.shape[2]

    def attend(self, attend, queries: slice, keys: slice):
        """Attention of some queries over some keys, all views."""
        mask = masked(self.mask, queries, keys)
        return attend(self.q[:, :, queries], self.k[:, :, keys], self.v[:, :, keys], mask)


def masked(mask: torch.Tensor | None, queries: slice, keys: slice) -> torch.Tensor | None:
    """The part of a mask that belongs to some queries and keys."""
    if mask is None:
        return None
    return (mask[:, :, queries] if mask.shape[2] > 1 else mask)[..., keys]


def scaled_keys(k_BHLD: torch.Tensor, theta: Theta, s: Streams) -> torch.Tensor:
    """Eq. 5: K_joint(theta) = [(1-theta)·K_bg | theta·K_ent | K_img]."""
    k_BHLD = k_BHLD.clone()
    k_BHLD[:, :, s.bg] *= 1 - theta
    k_BHLD[:, :, s.ent] *= theta
    return k_BHLD


def log_weights(q_BHLD: torch.Tensor, theta: Theta, s: Streams) -> torch.Tensor:
    """log(1-theta) for bg keys, log(theta) for ent keys, 0 for img keys: a mask [B or 1, 1, L, L]
    in O(L) memory.
    """
    theta_B1 = as_tensor(theta, q_BHLD).reshape(-1, 1)
    L = q_BHLD.shape[2]
    bias_BL = q_BHLD.new_zeros(theta_B1.shape[0], L)
    bias_BL[:, s.bg] = torch.log(1 - theta_B1)
    bias_BL[:, s.ent] = torch.log(theta_B1)
    return bias_BL[:, None, None].expand(-1, 1, L, L)


def as_tensor(theta: Theta, like: torch.Tensor) -> torch.Tensor:
    return torch.as_tensor(theta, dtype=torch.float32, device=like.device)


class OverImage:
    """The attention of all queries over the image keys, and what it becomes when attentions over
    texts are added.

    out: [B, H, L, D]. It takes the place of the attention itself where no gradient needs that any
    more.
    """

    def __init__(self, qkv: Part, s: Streams, attend: Callable):
        self.qkv, self.attend = qkv, attend
        self.alone, self.lse_BHL = qkv.attend(attend, slice(None), s.img)
        self.out = self.alone.clone() if self.alone.requires_grad else self.alone

    def add(self, rows: slice, texts: tuple[slice, ...], weights: Callable) -> None:
        """Makes rows of `out` the weighted sum with their attentions over some texts.

        weights(rows, log-sum-exp over the image, over each text) -> a weight [B, H, rows] for each;
        they sum to 1. The sum is in float32 and taken in pieces, so that what stands beside the
        result for it stays small.
        """
        for start in range(rows.start, rows.stop, ROWS):
            piece = slice(start, min(start + ROWS, rows.stop))
            parts = [self.qkv.attend(self.attend, piece, keys) for keys in texts]
            w_img, *w_texts = weights(
                piece, self.lse_BHL[:, :, piece], *(lse for _, lse in parts)
            ).unsqueeze(-1)
            mix = w_img * self.alone[:, :, piece]
            for w, (o_text, _) in zip(w_texts, parts, strict=True):
                mix += w * o_text
            self.out[:, :, piece] = mix


def weighted_double(
    qkv: Part, theta: Theta, s: Streams, attend, look: Callable | None = None
) -> torch.Tensor:
    """Double blocks, exact mode: one softmax over all keys, with mass 1-theta on bg, theta on ent.
    [B, L, H, D].

    look(lse_bg, lse_ent), [B, H, S] each, is told what the image attends to.
    """
    theta, seen = as_tensor(theta, qkv.q), []

    def weights(rows, l_i, l_b, l_e):
        seen.append((l_b, l_e))
        return torch.stack((l_i, l_b + torch.log(1 - theta), l_e + torch.log(theta))).softmax(0)

    attention = OverImage(qkv, s, attend)
    attention.add(slice(0, qkv.length), (s.bg, s.ent), weights)
    if look is not None:
        look(*(torch.cat(lse, 2)[:, :, s.img] for lse in zip(*seen, strict=True)))
    return attention.out.transpose(1, 2)


def branched(qkv: Part, theta: Theta, s: Streams, attend) -> torch.Tensor:
    """Single blocks, Eq. 6-11: bg sees [bg, img], ent sees [ent, img], img the mix of both
    branches. [B, L, H, D].

    out_img = (1-theta)·w_b·o_b + theta·w_e·o_e + (1 - (1-theta)·w_b - theta·w_e)·o_i, image over
    image once.
    """
    theta = as_tensor(theta, qkv.q)

    def mixed_branches(rows, l_i, l_b, l_e):
        (i_b, w_b), (i_e, w_e) = one_branch(rows, l_i, l_b), one_branch(rows, l_i, l_e)
        return torch.stack((torch.lerp(i_b, i_e, theta), (1 - theta) * w_b, theta * w_e))

    attention = OverImage(qkv, s, attend)
    attention.add(s.bg, (s.bg,), one_branch)
    attention.add(s.ent, (s.ent,), one_branch)
    attention.add(slice(s.text, qkv.length), (s.bg, s.ent), mixed_branches)
    return attention.out.transpose(1, 2)


def one_branch(rows: slice, l_i: torch.Tensor, l_text: torch.Tensor) -> torch.Tensor:
    """What image keys and a text's keys each get of an attention over both, from their
    log-sum-exps; [2, B, H, L].
    """
    return torch.stack((l_i, l_text)).softmax(0)


def branched_plain(qkv: Part, theta: Theta, s: Streams, plain) -> torch.Tensor:
    """Eq.

    6-11 from two ordinary attention calls, over [bg, img] and [ent, img]. Same result, slower. [B,
    L, H·D].
    """
    n_bg, n_ent = s.background, s.text - s.background
    q_b, k_b, v_b = (torch.cat((t[:, :, s.bg], t[:, :, s.img]), 2) for t in (qkv.q, qkv.k, qkv.v))
    bg = plain(q_b, k_b, v_b, without(qkv.mask, s.ent))
    ent = qkv.attend(plain, s.ent_img, s.ent_img)
    img = torch.lerp(bg[:, n_bg:].float(), ent[:, n_ent:].float(), as_tensor(theta, ent)).to(
        bg.dtype
    )
    return torch.cat((bg[:, :n_bg], ent[:, :n_ent], img), 1)


def without(mask: torch.Tensor | None, gone: slice) -> torch.Tensor | None:
    """A mask without the queries and keys of one stream."""
    if mask is None:
        return None
    mask = torch.cat((mask[..., : gone.start], mask[..., gone.stop :]), -1)
    return (
        torch.cat((mask[:, :, : gone.start], mask[:, :, gone.stop :]), 2)
        if mask.shape[2] > 1
        else mask
    )
