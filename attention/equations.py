"""The method's equations, on tensors alone.

Legend: B rows (images, and maybe a plate), H heads, D head width, L tokens in the order
[bg | ent | img]. theta_B11: the weight of the entity text in each row, float32.
An attention over several streams is taken apart: each query attends to the image, to the background
text and to the entity text by itself, and the results are merged by weights from their log-sum-exps
(lse). So image attends to image once, however the texts are weighed.
"""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import torch
from torch.nn import functional as F

EVERY = slice(None)
MERGED_AT_ONCE = 1024  # queries; so that what is held in float32 for a merge stays small


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


class QKV:
    """Queries, keys, values and the additive mask (None, or [B or 1, H or 1, L or 1, L]).

    padding: None, or an additive mask of the text keys alone, [B, 1, 1, text]. It stands apart so
    that the attention over the image keys, the most of the work, needs no mask.
    """

    def __init__(self, q_BHLD, k_BHLD, v_BHLD, mask=None, padding=None):
        self.q = q_BHLD
        self.k = k_BHLD
        self.v = v_BHLD
        self.mask = mask
        self.padding = padding

    def over(self, attend: Callable, queries: slice, keys: slice):
        """Attention of some queries over some keys, all views."""
        mask = self.mask_of(queries, keys)
        return attend(self.q[:, :, queries], self.k[:, :, keys], self.v[:, :, keys], mask)

    def mask_of(self, queries: slice, keys: slice) -> torch.Tensor | None:
        """The mask of some queries over some keys, with the padding."""
        mask = None if self.mask is None else cut_mask(self.mask, queries, keys)
        if self.padding is None or not self.padding[..., keys].shape[-1]:
            return mask
        L, M = self.q[:, :, queries].shape[2], self.k[:, :, keys].shape[2]
        padding = self.padding[..., keys]
        padding = F.pad(padding, (0, M - padding.shape[-1])).expand(-1, 1, L, M)
        return padding if mask is None else mask + padding


@dataclasses.dataclass(frozen=True)
class Backend:
    """The attentions at hand.

    fused(q, k, v, mask) -> (out_BHLD, lse_BHL), a kernel of kernels.py; None where none serves.
    plain(q, k, v, mask) -> out_BLE, the host's attention or another pack's; E = H·D.
    measure: as `fused`, slow and always there.
    """

    fused: Callable | None
    plain: Callable
    measure: Callable


# Eq. 5: K_joint(theta) = [(1-theta)·K_bg | theta·K_ent | K_img], one softmax over all keys


def attend_scaled(qkv: QKV, theta_B11: torch.Tensor, s: Streams, backend: Backend, record=None):
    """Double blocks, paper mode: Eq. 5 to the letter. [B, L, E]."""
    mask = qkv.mask_of(EVERY, EVERY)
    return backend.plain(qkv.q, scale_keys(qkv.k, theta_B11, s), qkv.v, mask)


def scale_keys(k_BHLD: torch.Tensor, theta_B11: torch.Tensor, s: Streams) -> torch.Tensor:
    theta_B111 = theta_B11[..., None]
    k_BHLD = k_BHLD.clone()
    k_BHLD[:, :, s.bg] *= 1 - theta_B111
    k_BHLD[:, :, s.ent] *= theta_B111
    return k_BHLD


# One text in each row: one softmax over it and the image


def attend_to_one(qkv: QKV, s: Streams, backend: Backend) -> torch.Tensor:
    """All blocks, where each row has one text. [B, L, E]."""
    if qkv.padding is None or backend.fused is None:
        return backend.plain(qkv.q, qkv.k, qkv.v, qkv.mask_of(EVERY, EVERY))
    everything = Merge(slice(0, qkv.q.shape[2]), (slice(0, s.text),), text_weights)
    out_BHLD, _ = merge_attentions(qkv, s, backend.fused, [everything])
    return out_BHLD.transpose(1, 2).flatten(2)


# Exact mode: one softmax over all keys, with mass 1-theta on bg and theta on ent


def attend_weighted(
    qkv: QKV,
    theta_B11: torch.Tensor,
    s: Streams,
    backend: Backend,
    record: Callable | None = None,
) -> torch.Tensor:
    """Double blocks, exact mode. [B, L, E].

    record(lse_bg_BHS, lse_ent_BHS) hears how much the image attends to each text.
    """
    if backend.fused is None:
        if record is not None:
            record(*(qkv.over(backend.measure, s.img, text)[1] for text in (s.bg, s.ent)))
        return backend.plain(qkv.q, qkv.k, qkv.v, weigh_logits(qkv, theta_B11, s))
    weigh = partial(double_weights, theta_B11=theta_B11)
    everything = Merge(slice(0, qkv.q.shape[2]), (s.bg, s.ent), weigh)
    out_BHLD, (lse_bg, lse_ent) = merge_attentions(qkv, s, backend.fused, [everything])
    if record is not None:
        record(lse_bg[:, :, s.img], lse_ent[:, :, s.img])
    return out_BHLD.transpose(1, 2).flatten(2)


def double_weights(lse_img, lse_bg, lse_ent, theta_B11) -> torch.Tensor:
    """What the image keys and each text's keys get, [3, B, H, L]."""
    lse_bg = lse_bg + torch.log(1 - theta_B11)
    lse_ent = lse_ent + torch.log(theta_B11)
    return torch.stack((lse_img, lse_bg, lse_ent)).softmax(0)


def weigh_logits(qkv: QKV, theta_B11: torch.Tensor, s: Streams) -> torch.Tensor:
    """The mask of all queries and keys with the texts' weights."""
    bias = log_weights(theta_B11, qkv.k, s)[:, :, :1].expand(-1, 1, qkv.q.shape[2], -1)
    mask = qkv.mask_of(EVERY, EVERY)
    return bias if mask is None else mask + bias


def log_weights(theta_B11: torch.Tensor, k_BHLD: torch.Tensor, s: Streams) -> torch.Tensor:
    """The same weights as a mask: log(1-theta) on bg keys, log(theta) on ent keys, 0 on img keys.

    [B, 1, L, L], in O(L) memory.
    """
    L = k_BHLD.shape[2]
    theta_B1 = theta_B11.flatten(1)
    bias_BL = k_BHLD.new_zeros(len(theta_B1), L)
    bias_BL[:, s.bg] = torch.log(1 - theta_B1)
    bias_BL[:, s.ent] = torch.log(theta_B1)
    return bias_BL[:, None, None].expand(-1, 1, L, L)


# The same where image attends to text alone: keys [bg | ent], every query is an image token


def attend_across(
    qkv: QKV,
    theta_B11: torch.Tensor,
    s: Streams,
    backend: Backend,
    record: Callable | None = None,
) -> torch.Tensor:
    """Cross-attention, exact mode. [B, S, E]; `record` as in attend_weighted."""
    texts = (s.bg, s.ent)
    if backend.fused is None:
        if record is not None:
            record(*(qkv.over(backend.measure, EVERY, text)[1] for text in texts))
        return backend.plain(qkv.q, qkv.k, qkv.v, weigh_logits(qkv, theta_B11, s))
    parts = [qkv.over(backend.fused, EVERY, text) for text in texts]
    lses = [lse for _, lse in parts]
    if record is not None:
        record(*lses)
    weights = torch.stack((lses[0] + torch.log(1 - theta_B11), lses[1] + torch.log(theta_B11)))
    out_BHSD = weighted_sum(weights.softmax(0), [out for out, _ in parts]).to(qkv.q.dtype)
    return out_BHSD.transpose(1, 2).flatten(2)


# Eq. 6-11: bg sees [bg, img], ent sees [ent, img], img the mix of both branches:
#   (1-theta)·w_bg·o_bg + theta·w_ent·o_ent + (1 - (1-theta)·w_bg - theta·w_ent)·o_img


def attend_in_branches(
    qkv: QKV, theta_B11: torch.Tensor, s: Streams, backend: Backend
) -> torch.Tensor:
    """Single blocks, all modes. [B, L, E]."""
    if backend.fused is None:
        return attend_in_two_calls(qkv, theta_B11, s, backend.plain)
    weigh = partial(single_weights, theta_B11=theta_B11)
    merges = [
        Merge(s.bg, (s.bg,), text_weights),
        Merge(s.ent, (s.ent,), text_weights),
        Merge(slice(s.text, qkv.q.shape[2]), (s.bg, s.ent), weigh),
    ]
    out_BHLD, _ = merge_attentions(qkv, s, backend.fused, merges)
    return out_BHLD.transpose(1, 2).flatten(2)


def text_weights(lse_img, lse_text) -> torch.Tensor:
    """What image keys and a text's keys get of one softmax over both, [2, B, H, L]."""
    return torch.stack((lse_img, lse_text)).softmax(0)


def single_weights(lse_img, lse_bg, lse_ent, theta_B11) -> torch.Tensor:
    """What the image keys and each text's keys get in the mix of both branches, [3, B, H, L]."""
    img_beside_bg, bg = text_weights(lse_img, lse_bg)
    img_beside_ent, ent = text_weights(lse_img, lse_ent)
    img = torch.lerp(img_beside_bg, img_beside_ent, theta_B11)
    return torch.stack((img, (1 - theta_B11) * bg, theta_B11 * ent))


def attend_in_two_calls(
    qkv: QKV, theta_B11: torch.Tensor, s: Streams, plain: Callable
) -> torch.Tensor:
    """Eq. 6-11 from two ordinary attentions, over [bg, img] and [ent, img]: the same, slower."""
    n_bg = s.background
    n_ent = s.text - s.background
    q, k, v = (torch.cat((t[:, :, s.bg], t[:, :, s.img]), 2) for t in (qkv.q, qkv.k, qkv.v))
    mask = None if qkv.mask is None else drop_from_mask(qkv.mask, s.ent)
    bg_BLE = plain(q, k, v, mask)
    ent_BLE = qkv.over(plain, s.ent_img, s.ent_img)
    img_BLE = torch.lerp(bg_BLE[:, n_bg:].float(), ent_BLE[:, n_ent:].float(), theta_B11)
    return torch.cat((bg_BLE[:, :n_bg], ent_BLE[:, :n_ent], img_BLE.to(bg_BLE.dtype)), 1)


# How attentions over single streams become one over several


@dataclasses.dataclass(frozen=True)
class Merge:
    """Some queries' attentions over the image and over `texts`, merged by
    weigh(lse_img, lse of each text) -> a weight [B, H, L] for each, which sum to 1.
    """

    queries: slice
    texts: tuple[slice, ...]
    weigh: Callable[..., torch.Tensor]


def merge_attentions(
    qkv: QKV, s: Streams, attend: Callable, merges: Sequence[Merge]
) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """Attention [B, H, L, D] over the image and texts, and each text's lse of the last merge.

    The result takes the place of the attention over the image, where no gradient needs that.
    """
    img_BHLD, lse_img_BHL = qkv.over(attend, EVERY, s.img)
    out_BHLD = img_BHLD.clone() if img_BHLD.requires_grad else img_BHLD
    for merge in merges:
        seen = []
        for piece in pieces(merge.queries):
            parts = [qkv.over(attend, piece, text) for text in merge.texts]
            lses = [lse for _, lse in parts]
            weights = merge.weigh(lse_img_BHL[:, :, piece], *lses)
            outs = [img_BHLD[:, :, piece], *(out for out, _ in parts)]
            out_BHLD[:, :, piece] = weighted_sum(weights, outs)
            seen.append(lses)
    return out_BHLD, [torch.cat(lses, 2) for lses in zip(*seen, strict=True)]


def pieces(queries: slice) -> Iterator[slice]:
    for start in range(queries.start, queries.stop, MERGED_AT_ONCE):
        yield slice(start, min(start + MERGED_AT_ONCE, queries.stop))


def weighted_sum(weights: torch.Tensor, outs: Sequence[torch.Tensor]) -> torch.Tensor:
    """Σ w·o in the weights' precision, float32; weights [n, B, H, L]."""
    total = weights[0, ..., None] * outs[0]
    for weight_BHL, out_BHLD in zip(weights[1:], outs[1:], strict=True):
        total += weight_BHL[..., None] * out_BHLD
    return total


def cut_mask(mask: torch.Tensor, queries: slice, keys: slice) -> torch.Tensor:
    """The part of a mask that belongs to some queries and keys."""
    return (mask[:, :, queries] if mask.shape[2] > 1 else mask)[..., keys]


def drop_from_mask(mask: torch.Tensor, stream: slice) -> torch.Tensor:
    """A mask without the queries and keys of one stream."""
    mask = torch.cat((mask[..., : stream.start], mask[..., stream.stop :]), -1)
    if mask.shape[2] == 1:
        return mask
    return torch.cat((mask[:, :, : stream.start], mask[:, :, stream.stop :]), 2)
