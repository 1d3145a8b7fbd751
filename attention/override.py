"""The attention override of one model call: it knows theta and where the two texts stand, and picks
the equation.
"""

import dataclasses
from collections.abc import Callable
from functools import partial

import torch

from . import kernels
from .coupling import (
    Part,
    Streams,
    branched,
    branched_plain,
    log_weights,
    scaled_keys,
    weighted_double,
)
from .families import Family
from .focus import Focus

KEY = "optimized_attention_override"


class Counter:
    """How many joint attentions of a model call came to its override."""

    def __init__(self):
        self.count = 0


@dataclasses.dataclass(frozen=True, kw_only=True)
class BlockAttention:
    """Takes the place of the attention in the blocks of one model call; made anew for each call, it
    outlives none.

    torch.compile goes through it, so what changes between the calls of a run must be a tensor:
    theta, say, which is then read in each call, where a number would be compiled in. previous:
    another pack's override, if any. Then every attention inside goes through it. calls: counts the
    joint attentions, for check_joint_calls.
    """

    streams: Streams
    previous: Callable | None = None
    calls: Counter = dataclasses.field(default_factory=Counter)

    def __call__(
        self,
        func,
        q,
        k,
        v,
        heads,
        mask=None,
        attn_precision=None,
        skip_reshape=False,
        skip_output_reshape=False,
        **kwargs,
    ):
        """The host's override: (func, then the arguments of func, its attention function).

        Shapes as func's.
        """
        options = kwargs.get("transformer_options") or {}
        kwargs["transformer_options"] = self.without_me(options)
        kwargs["attn_precision"] = attn_precision
        call = partial(self.previous, func) if self.previous else func
        if not self.is_joint(q, k, heads, skip_reshape, options):
            return call(
                q,
                k,
                v,
                heads,
                mask=mask,
                skip_reshape=skip_reshape,
                skip_output_reshape=skip_output_reshape,
                **kwargs,
            )
        self.calls.count += 1
        if not skip_reshape:
            q, k, v = (t.view(*t.shape[:2], heads, -1).transpose(1, 2) for t in (q, k, v))
        plain = partial(run_plain, call, heads, kwargs)
        out_BLE = self.joint(
            Part(q, k, v, additive(mask, q)), options["block_type"], plain, kwargs.get("scale")
        )
        if skip_output_reshape:
            return out_BLE.view(*out_BLE.shape[:2], heads, -1).transpose(1, 2)
        return out_BLE

    def without_me(self, options: dict) -> dict:
        """The options as they would be without this override: an attention called from within must
        not come back.
        """
        options = {k: v for k, v in options.items() if k != KEY}
        return {**options, KEY: self.previous} if self.previous else options

    def is_joint(self, q, k, heads, skip_reshape, options) -> bool:
        """Whether this is a block's attention over [bg | ent | img], and not one that another pack
        put beside it.
        """
        axis = 2 if skip_reshape else 1
        same = q.shape == k.shape and q.shape[axis] > self.streams.text
        return same and options.get("block_type") in ("double", "single")

    def joint(
        self, qkv: Part, block_type: str, plain: Callable, scale: float | None
    ) -> torch.Tensor:
        """The attention of one block, [B, L, H·D]. plain: an ordinary attention of q, k, v,
        mask.
        """
        raise NotImplementedError


@dataclasses.dataclass(frozen=True, kw_only=True)
class CoupledAttention(BlockAttention):
    """The attention over a background and an entity text.

    theta: a tensor of no axes, or [B, 1, 1]; float32, on the device. focus: told what the image
    attends to.
    """

    theta: torch.Tensor
    paper: bool = False
    focus: Focus | None = None

    def joint(
        self, qkv: Part, block_type: str, plain: Callable, scale: float | None
    ) -> torch.Tensor:
        kernel = None if self.previous or kernels.host_was_told() else kernels.kernel_for(qkv.q)
        kernel = kernel and partial(kernel, scale=scale)
        if block_type == "double":
            return self.double(qkv, kernel, plain, scale)
        args = qkv, self.theta, self.streams
        return branched(*args, kernel).flatten(2) if kernel else branched_plain(*args, plain)

    def double(
        self, qkv: Part, kernel: Callable | None, plain: Callable, scale: float | None
    ) -> torch.Tensor:
        theta, s = self.theta, self.streams
        if self.paper:
            return plain(qkv.q, scaled_keys(qkv.k, theta, s), qkv.v, qkv.mask)
        if kernel is not None:
            return weighted_double(qkv, theta, s, kernel, self.focus and self.focus.look).flatten(2)
        if self.focus:
            attend = partial(kernels.plain, scale=scale)
            self.focus.look(*(qkv.attend(attend, s.img, text)[1] for text in (s.bg, s.ent)))
        bias = log_weights(qkv.q, theta, s)
        return plain(qkv.q, qkv.k, qkv.v, bias if qkv.mask is None else qkv.mask + bias)


@torch.compiler.disable
def check_joint_calls(attention: BlockAttention, family: Family, model: torch.nn.Module) -> None:
    """ValueError, after a model call, unless each of the model's joint attentions came to its
    override: a block that another pack calls without the options would run uncoupled in silence.
    """
    expected = family.joint_calls(model)
    if attention.calls.count == expected:
        return
    raise ValueError(
        "Remove or bypass the node that skips or replaces the model's blocks (for example Configure"
        " Modified Flux, TeaCache, FBCache or Skip Layer Guidance):"
        f" {attention.calls.count} of the {expected} attention calls of the model's blocks reached"
        " Coupled, and its images are right only when all do. If there is no such node, this"
        " version of ComfyUI may call the model in a new way: please report it."
    )


def run_plain(
    call: Callable, heads: int, kwargs: dict, q_BHLD, k_BHMD, v_BHMD, mask=None
) -> torch.Tensor:
    """An ordinary attention call of the host (or of another pack's override): [B, L, H·D]."""
    return call(q_BHLD, k_BHMD, v_BHMD, heads, mask=mask, skip_reshape=True, **kwargs)


def additive(mask: torch.Tensor | None, q_BHLD: torch.Tensor) -> torch.Tensor | None:
    """The host's mask ([L, L], [B, L, L] or [B, H, L, L]; bool or added to the logits), additive
    with four axes.
    """
    if mask is None:
        return None
    if mask.dtype == torch.bool:
        mask = torch.zeros_like(mask, dtype=q_BHLD.dtype).masked_fill(~mask, float("-inf"))
    while mask.ndim < 4:
        mask = mask.unsqueeze(0 if mask.ndim == 2 else 1)
    return mask
