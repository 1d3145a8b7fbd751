"""The attention override of one model call: picks the equation for each block."""

import dataclasses
from collections.abc import Callable, Sequence
from functools import partial

import torch

from . import kernels
from .architectures import Architecture, Block, Turn
from .contrast import ContrastProbe
from .equations import EVERY, QKV, Backend, Streams, attend_in_branches, attend_to_one
from .modes import Mode
from .positions import turn_image, turn_tokens
from .strips import Injection, Layout

OVERRIDE = "optimized_attention_override"  # the host's slot in transformer_options


class Counter:
    """How many joint attentions of a model call came to its override."""

    def __init__(self):
        self.count = 0


@dataclasses.dataclass(frozen=True, kw_only=True)
class BlockAttention:
    """Takes the place of the attention in the blocks of one model call; created per call, it holds
    no state between calls.

    torch.compile goes through it, so what changes between the calls of a run must be a tensor, such
    as theta: compiled code reads it in each call, where a number would be compiled in.
    previous: another pack's override, if any; then every attention inside goes through it.
    calls: counts the joint attentions, for check_joint_calls. refiners: how many attentions over
    the text alone come before them, `refined` counts those; rows: B, by which they are known.
    turns: of queries and keys, to where their tokens would be alone. image: image tokens of a row,
    without those of references; known where the host does not say what kind of block calls.
    """

    architecture: Architecture
    streams: Streams
    previous: Callable | None = None
    calls: Counter = dataclasses.field(default_factory=Counter)
    refiners: int = 0
    rows: int = 0
    refined: Counter = dataclasses.field(default_factory=Counter)
    turns: Sequence[Turn] = ()
    image: int = 0

    def __call__(
        self,
        func: Callable,
        q: torch.Tensor,
        k: torch.Tensor,
        v: torch.Tensor,
        heads: int,
        mask: torch.Tensor | None = None,
        attn_precision=None,
        skip_reshape: bool = False,
        skip_output_reshape: bool = False,
        **kwargs,
    ) -> torch.Tensor:
        """The host's override: its attention function `func`, then the arguments of that."""
        options = kwargs.get("transformer_options") or {}
        kwargs["transformer_options"] = self.options_without_override(options)
        kwargs["attn_precision"] = attn_precision
        call = partial(self.previous, func) if self.previous else func
        block = self.joint_block(q, k, skip_reshape, options)
        refines = block is None and self.is_refiner(q, k, skip_reshape)
        if block is None and not refines:
            q, k, v = self.image_alone(q, k, v, skip_reshape)
            shapes = {"skip_reshape": skip_reshape, "skip_output_reshape": skip_output_reshape}
            return call(q, k, v, heads, mask=mask, **shapes, **kwargs)
        if not skip_reshape:
            q, k, v = (split_heads(t, heads) for t in (q, k, v))
        plain = partial(run_plain, call, heads, kwargs)
        qkv = QKV(q, k, v, additive(mask, q))
        if block is None:
            self.refined.count += 1
            out_BLE = self.refine(qkv, plain)
        else:
            self.calls.count += 1
            out_BLE = self.joint(self.turn(qkv), block, plain, kwargs.get("scale"))
        return split_heads(out_BLE, heads) if skip_output_reshape else out_BLE

    def options_without_override(self, options: dict) -> dict:
        """The options as they would be without this override: an attention that is called from
        within must not come back.
        """
        options = {k: v for k, v in options.items() if k != OVERRIDE}
        return {**options, OVERRIDE: self.previous} if self.previous else options

    def joint_block(self, q, k, skip_reshape: bool, options: dict) -> Block | None:
        """The kind of block if this is its attention over [bg | ent | img]; None if it is one of
        the image alone, or that another pack added.
        """
        axis = 2 if skip_reshape else 1
        length, text = q.shape[axis], self.streams.text
        blocks = self.architecture.blocks
        if blocks.get(None) is Block.ACROSS:
            return Block.ACROSS if k.shape[axis] == text else None
        if q.shape != k.shape or length <= text:
            return None
        if None in blocks:
            return blocks[None] if length == text + self.image else None
        return blocks.get(options.get("block_type"))

    def is_refiner(self, q, k, skip_reshape: bool) -> bool:
        """Whether this is one of the attentions over the text alone, [bg | ent] of all rows."""
        length = q.shape[2 if skip_reshape else 1]
        if self.refined.count == self.refiners or q.shape != k.shape:
            return False
        return length == self.streams.text and q.shape[0] == self.rows

    def image_alone(
        self, q, k, v, skip_reshape: bool
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Queries, keys and values of an attention of the image alone, before it meets the text:
        its tokens where they would be alone.
        """
        before = self.refined.count == self.refiners and not self.calls.count
        if self.turns and skip_reshape and before and q.shape == k.shape:
            q, k = (turn_image(t, self.turns, self.streams) for t in (q, k))
        return q, k, v

    def turn(self, qkv: QKV) -> QKV:
        """The queries and keys of all streams where they would stand alone."""
        if not self.turns:
            return qkv
        q, k = (turn_tokens(t, self.turns) for t in (qkv.q, qkv.k))
        return QKV(q, k, qkv.v, qkv.mask, qkv.padding)

    def joint(self, qkv: QKV, block: Block, plain: Callable, scale: float | None) -> torch.Tensor:
        """The attention of one block, [B, L, E]; `plain`: the host's attention of q, k, v, mask."""
        raise NotImplementedError

    def refine(self, qkv: QKV, plain: Callable) -> torch.Tensor:
        """The attention of the texts among themselves, [B, text, E]."""
        raise NotImplementedError


@dataclasses.dataclass(frozen=True, kw_only=True)
class CoupledAttention(BlockAttention):
    """The attention over a background and an entity text.

    theta_B11: float32, on the device; None where each row has one text. padding: [B, 1, 1, text],
    added to the logits of the text keys. probe: hears what the image attends to. layout: how the
    rows take the plate's keys and values; None where none does.
    """

    mode: Mode
    theta_B11: torch.Tensor | None = None
    padding: torch.Tensor | None = None
    probe: ContrastProbe | None = None
    layout: Layout | None = None

    def refine(self, qkv: QKV, plain: Callable) -> torch.Tensor:
        """Each text attends to itself alone."""
        if self.padding is not None:
            qkv = QKV(qkv.q, qkv.k, qkv.v, qkv.mask, self.padding.to(qkv.q.dtype))
        texts = (self.streams.bg, self.streams.ent)
        return torch.cat([qkv.over(plain, text, text) for text in texts], 1)

    def image_alone(
        self, q, k, v, skip_reshape: bool
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """The same; with the plate's keys and values where the text has an attention of its own."""
        q, k, v = super().image_alone(q, k, v, skip_reshape)
        across = self.architecture.blocks.get(None) is Block.ACROSS
        if not across or not isinstance(self.layout, Injection) or q.shape != k.shape:
            return q, k, v
        tokens = q.shape[2 if skip_reshape else 1]
        if q.shape[0] != self.rows or tokens not in self.layout.others:  # another pack's
            return q, k, v
        if skip_reshape:
            return q, self.layout.inject(k, 0), self.layout.inject(v, 0)
        k, v = (self.layout.inject(t[:, None], 0)[:, 0] for t in (k, v))
        return q, k, v

    def joint(self, qkv: QKV, block: Block, plain: Callable, scale: float | None) -> torch.Tensor:
        backend = Backend(
            fused=self.fused_kernel(qkv, scale),
            plain=plain,
            measure=partial(kernels.plain, scale=scale),
        )
        if self.padding is not None:
            qkv = QKV(qkv.q, qkv.k, qkv.v, qkv.mask, self.padding.to(qkv.q.dtype))
        if self.layout is None or block is Block.ACROSS:
            return self.attend(qkv, self.theta_B11, block, backend)
        text = self.streams.text
        parts = self.layout.part(qkv, self.theta_B11, text)
        outs = [self.attend(part, theta_B11, block, backend) for part, theta_B11 in parts]
        return self.layout.join(outs, text)

    def attend(
        self, qkv: QKV, theta_B11: torch.Tensor | None, block: Block, backend: Backend
    ) -> torch.Tensor:
        if theta_B11 is None and block is Block.ACROSS:
            return backend.plain(qkv.q, qkv.k, qkv.v, qkv.mask_of(EVERY, EVERY))
        if theta_B11 is None:
            return attend_to_one(qkv, self.streams, backend)
        if block is Block.BRANCHES:
            return attend_in_branches(qkv, theta_B11, self.streams, backend)
        record = self.probe.record if self.probe else None
        attend = self.mode.across if block is Block.ACROSS else self.mode.attend
        return attend(qkv, theta_B11, self.streams, backend, record)

    def fused_kernel(self, qkv: QKV, scale: float | None) -> Callable | None:
        """A kernel of our own, unless another pack or the user chose the attention."""
        if self.previous or kernels.user_chose_attention():
            return None
        kernel = kernels.kernel_for(qkv.q)
        return kernel and partial(kernel, scale=scale)


@torch.compiler.disable
def check_joint_calls(attention: BlockAttention, model: torch.nn.Module) -> None:
    """ValueError, after a model call, unless each of the model's joint attentions came to its
    override: a block that another pack calls without the options would silently run uncoupled.
    """
    architecture = attention.architecture
    expected = architecture.joint_calls(model) + attention.refiners
    reached = attention.calls.count + attention.refined.count
    if attention.refined.count == attention.refiners and reached == expected:
        return
    raise ValueError(
        "Remove or bypass the node that skips or replaces the model's blocks (for example Configure"
        " Modified Flux, TeaCache, FBCache or Skip Layer Guidance):"
        f" {reached} of the {expected} attention calls of the blocks of {architecture.name} reached"
        " Coupled, and its images are right only when all do. If there is no such node, this"
        " version of ComfyUI may call the model in a new way: please report it."
    )


def split_heads(t_BLE: torch.Tensor, heads: int) -> torch.Tensor:
    """[B, L, H·D] -> [B, H, L, D], a view."""
    return t_BLE.view(*t_BLE.shape[:2], heads, -1).transpose(1, 2)


def run_plain(
    call: Callable, heads: int, kwargs: dict, q_BHLD, k_BHMD, v_BHMD, mask=None
) -> torch.Tensor:
    """An ordinary attention call of the host (or of another pack's override): [B, L, E]."""
    return call(q_BHLD, k_BHMD, v_BHMD, heads, mask=mask, skip_reshape=True, **kwargs)


def additive(mask: torch.Tensor | None, q_BHLD: torch.Tensor) -> torch.Tensor | None:
    """The host's mask, bool or additive, [L, L] to [B, H, L, L], as additive with four axes."""
    if mask is None:
        return None
    if mask.dtype == torch.bool:
        mask = torch.zeros_like(mask, dtype=q_BHLD.dtype).masked_fill(~mask, float("-inf"))
    while mask.ndim < 4:
        mask = mask.unsqueeze(0 if mask.ndim == 2 else 1)
    return mask
