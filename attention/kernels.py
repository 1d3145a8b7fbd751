"""Attention that also returns its log-sum-exp, by which attentions over parts of keys merge.

Legend: B images, H heads, L queries, M keys, D head width. LSE[b,h,l] = log Σ_m exp(scale·q·k_m +
mask), natural log, float32. torch's fused kernels return it; which one works on a device is found
once, by trying (`kernel_for`).
"""

import functools
import logging
from collections.abc import Callable

import torch
import torch.nn.functional as F

aten = torch.ops.aten
Attended = tuple[torch.Tensor, torch.Tensor]
SCORES_AT_ONCE = 2**26  # elements of float32 scores the plain kernel holds: 256 MiB


def plain(q_BHLD, k_BHMD, v_BHMD, mask=None, scale: float | None = None) -> Attended:
    """The explicit softmax in float32: works everywhere, differentiable in both results; slow."""
    B, H, L, D = q_BHLD.shape
    scale = D**-0.5 if scale is None else scale
    rows = max(1, SCORES_AT_ONCE // (B * H * k_BHMD.shape[2]))
    k_BHDM = k_BHMD.float().transpose(2, 3)
    v_BHMD_f = v_BHMD.float()
    outs = []
    sums = []
    for start in range(0, L, rows):
        scores_BHLM = (q_BHLD[:, :, start : start + rows].float() @ k_BHDM) * scale
        if mask is not None:
            part = mask[:, :, start : start + rows] if mask.shape[2] > 1 else mask
            scores_BHLM = scores_BHLM + part.float()
        sums.append(scores_BHLM.logsumexp(-1))
        outs.append(scores_BHLM.softmax(-1) @ v_BHMD_f)
    return torch.cat(outs, 2).to(q_BHLD.dtype), torch.cat(sums, 2)


def cpu_flash(q_BHLD, k_BHMD, v_BHMD, mask=None, scale: float | None = None) -> Attended:
    """The CPU's flash kernel; any width, float32, bfloat16 and float16."""
    if mask is not None:
        mask = mask.to(q_BHLD.dtype)
    return aten._scaled_dot_product_flash_attention_for_cpu(
        q_BHLD, k_BHMD, v_BHMD, attn_mask=mask, scale=scale
    )


def pad_width(tensor: torch.Tensor) -> torch.Tensor:
    """Head width filled up to a multiple of 8 for CUDA kernels; its zeros change no product."""
    return F.pad(tensor, (0, -tensor.shape[-1] % 8))


def on_cuda(kernel: Callable) -> Callable:
    """A CUDA kernel of q, k, v, scale, its width padded and its results cut to the right shape."""

    @functools.wraps(kernel)
    def run(q_BHLD, k_BHMD, v_BHMD, mask=None, scale: float | None = None) -> Attended:
        if mask is not None:
            return plain(q_BHLD, k_BHMD, v_BHMD, mask, scale)
        L, D = q_BHLD.shape[2:]
        scale = D**-0.5 if scale is None else scale
        out, lse = kernel(*map(pad_width, (q_BHLD, k_BHMD, v_BHMD)), scale)
        lse = lse.squeeze(-1) if lse.ndim == 4 else lse  # cuDNN keeps a last dimension of 1
        return out[..., :D], lse[:, :, :L]  # the efficient kernel rounds L up

    return run


@on_cuda
def cuda_flash(q, k, v, scale):
    return aten._scaled_dot_product_flash_attention(q, k, v, scale=scale)[:2]


@on_cuda
def cuda_cudnn(q, k, v, scale):
    return aten._scaled_dot_product_cudnn_attention(q, k, v, None, True, scale=scale)[:2]


@on_cuda
def cuda_efficient(q, k, v, scale):
    return aten._scaled_dot_product_efficient_attention(q, k, v, None, True, scale=scale)[:2]


CANDIDATES = {"cpu": (cpu_flash,), "cuda": (cuda_flash, cuda_cudnn, cuda_efficient)}
BY_NAME = {kernel.__name__: kernel for kernels in CANDIDATES.values() for kernel in kernels} | {
    "none": None
}
CHOICES = (
    "use_sage_attention",
    "use_flash_attention",
    "use_split_cross_attention",
    "use_quad_cross_attention",
)
TOLERANCE = {torch.float32: 1e-3, torch.float16: 1e-2, torch.bfloat16: 5e-2}  # TF32 may be on
_chosen: dict[tuple, str] = {}


def agrees(kernel: Callable, device: torch.device, dtype: torch.dtype, width: int) -> bool:
    """Whether a kernel gives the plain result, tried on a small random input of odd lengths."""
    generator = torch.Generator().manual_seed(0)
    q, k, v = (
        torch.randn(2, 3, n, width, generator=generator).to(device, dtype) for n in (37, 21, 21)
    )
    try:
        pairs = zip(kernel(q, k, v), plain(q, k, v), strict=True)
        return all(
            torch.allclose(a.float(), b.float(), atol=TOLERANCE[dtype], rtol=0) for a, b in pairs
        )
    except (
        RuntimeError,
        NotImplementedError,
    ) as error:  # a kernel that lacks this width, type or device
        logging.debug(
            "Coupled: %s does not serve %s %s width %d: %s", kernel, device, dtype, width, error
        )
        return False


def find_kernel(device: torch.device, dtype: torch.dtype, width: int) -> Callable | None:
    """The first candidate for this device that agrees with the plain kernel, if there is one."""
    if dtype not in TOLERANCE:
        return None
    with torch.inference_mode(False), torch.no_grad():
        return next(
            (c for c in CANDIDATES.get(device.type, ()) if agrees(c, device, dtype, width)), None
        )


def user_chose_attention() -> bool:
    """Whether the user started the host with an attention of their choice: all attention goes
    through that one then.
    """
    from comfy.cli_args import args

    return any(getattr(args, flag, False) for flag in CHOICES)


def kernel_for(q: torch.Tensor) -> Callable | None:
    """The kernel for queries like `q`; None if the device has none: two ordinary calls do better.

    With gradients on it is the plain kernel: the fused ones let none through their log-sum-exp.
    """
    if torch.is_grad_enabled() and q.requires_grad:
        return plain
    return BY_NAME[kernel_name(q.device, q.dtype, q.shape[-1])]


# torch.compile asks once: trying kernels out cannot be compiled
@torch.compiler.assume_constant_result
def kernel_name(device: torch.device, dtype: torch.dtype, width: int) -> str:
    """The name of the kernel for a device, kept: it is a fact about the machine."""
    key = (device, dtype, width)
    if key not in _chosen:
        kernel = find_kernel(*key)
        _chosen[key] = next(name for name, one in BY_NAME.items() if one is kernel)
    return _chosen[key]
