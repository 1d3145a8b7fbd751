"""Kernels agree with each other and with the explicit softmax, at awkward sizes and extreme
streams.
"""

import pytest
import torch

from coupled.attention import kernels
from coupled.attention.equations import (
    QKV,
    Backend,
    Streams,
    attend_in_branches,
    attend_in_two_calls,
    attend_weighted,
    log_weights,
)

SIZES = [(1, 1, 1, 16), (2, 3, 37, 20), (1, 2, 129, 64), (2, 1, 9, 7)]  # B, H, L, D


def random_qkv(B, H, L, D, dtype=torch.float32, factor=1.0):
    generator = torch.Generator().manual_seed(L + D)
    q, k, v = torch.randn(3, B, H, L, D, generator=generator)
    return (q * factor).to(dtype), k.to(dtype), v.to(dtype)


def explicit(q, k, v, mask=None):
    scores = q.double() @ k.double().transpose(2, 3) * q.shape[-1] ** -0.5
    scores = scores if mask is None else scores + mask.double()
    return scores.softmax(-1) @ v.double(), scores.logsumexp(-1)


@pytest.mark.parametrize("kernel", [kernels.plain, kernels.cpu_flash])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("factor", [1e-3, 1.0, 30.0])
def test_kernel_gives_attention_and_log_sum_exp(kernel, size, factor):
    q, k, v = random_qkv(*size, factor=factor)
    out, lse = kernel(q, k, v)
    expected, expected_lse = explicit(q, k, v)
    assert lse.dtype == torch.float32 and lse.shape == q.shape[:3]
    assert torch.allclose(
        out.double(), expected, atol=5e-6 * max(1, factor), rtol=0
    )  # logits of 100 round to 1e-5
    assert torch.allclose(lse.double(), expected_lse, atol=5e-6, rtol=1e-6)


@pytest.mark.parametrize("kernel", [kernels.plain, kernels.cpu_flash])
@pytest.mark.parametrize("dtype, tolerance", [(torch.bfloat16, 3e-2), (torch.float16, 4e-3)])
def test_kernel_in_half_precision(kernel, dtype, tolerance):
    q, k, v = random_qkv(2, 3, 37, 20, dtype)
    out, lse = kernel(q, k, v)
    expected, expected_lse = explicit(q, k, v)
    assert out.dtype == dtype and lse.dtype == torch.float32
    assert (out - expected).abs().max() < tolerance and (lse - expected_lse).abs().max() < tolerance


@pytest.mark.parametrize("kernel", [kernels.plain, kernels.cpu_flash])
@pytest.mark.parametrize("shape", [(1, 1, 1, 37), (2, 1, 37, 37), (2, 3, 37, 37)])
def test_kernel_adds_a_mask(kernel, shape):
    q, k, v = random_qkv(2, 3, 37, 20)
    mask = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    mask[..., 5:9] = float("-inf")
    out, lse = kernel(q, k, v, mask)
    expected, expected_lse = explicit(q, k, v, mask)
    assert torch.allclose(out.double(), expected, atol=5e-6) and torch.allclose(
        lse.double(), expected_lse, atol=5e-6
    )


def test_plain_kernel_works_in_slices(monkeypatch):
    q, k, v = random_qkv(2, 3, 37, 20)
    mask = torch.randn(2, 1, 37, 37, generator=torch.Generator().manual_seed(1))
    whole = kernels.plain(q, k, v, mask)
    monkeypatch.setattr(kernels, "SCORES_AT_ONCE", 2 * 3 * 37 * 4)
    for a, b in zip(kernels.plain(q, k, v, mask), whole, strict=True):
        assert torch.allclose(a, b, atol=1e-6)


def test_cuda_wrapper_pads_the_width_and_cuts_the_results():
    """With the plain kernel in a CUDA kernel's place, as strict and as odd in its shapes as those
    are.
    """

    @kernels.on_cuda
    def strict(q, k, v, scale):
        assert q.shape[-1] % 8 == 0
        out, lse = kernels.plain(q, k, v, scale=scale)
        return out, torch.nn.functional.pad(lse, (0, 27)).unsqueeze(-1)

    q, k, v = random_qkv(2, 3, 37, 20)
    for a, b in zip(strict(q, k, v), kernels.plain(q, k, v), strict=True):
        assert a.shape == b.shape and torch.allclose(a, b, atol=1e-6)


def test_kernel_choice():
    """On a CPU the flash kernel; a kernel that is wrong or raises is passed over; with gradients
    the plain one.
    """
    q = random_qkv(1, 2, 9, 20)[0]
    assert kernels.kernel_for(q) is kernels.cpu_flash
    assert kernels.kernel_for(q.clone().requires_grad_()) is kernels.plain
    cpu = torch.device("cpu")
    base_two = lambda *qkv: (kernels.plain(*qkv)[0], kernels.plain(*qkv)[1] / 0.6931)  # noqa: E731
    assert not kernels.agrees(base_two, cpu, torch.float32, 20)
    assert not kernels.agrees(kernels.cuda_flash, cpu, torch.float32, 20)
    assert kernels.find_kernel(cpu, torch.float64, 20) is None


def test_gradients_flow_through_the_merge():
    q, k, v = (t.double().requires_grad_() for t in random_qkv(1, 1, 7, 4))
    s = Streams(2, 4)

    theta_B11 = torch.full((1, 1, 1), 0.4)

    def single(q, k, v):
        return attend_in_two_calls(QKV(q, k, v), theta_B11, s, plain_tokens)

    def merge(q, k, v):
        qkv = QKV(q.float(), k.float(), v.float())
        return attend_in_branches(qkv, theta_B11, s, by_kernel(kernels.plain)).double()

    theirs = torch.autograd.grad(single(q, k, v).square().sum(), (q, k, v))
    ours = torch.autograd.grad(merge(q, k, v).square().sum(), (q, k, v))
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(ours, theirs, strict=True))


def by_kernel(kernel):
    return Backend(fused=kernel, plain=plain_tokens, measure=kernels.plain)


def plain_tokens(q, k, v, mask=None):
    return explicit(q, k, v, mask)[0].to(q.dtype).transpose(1, 2).flatten(2)


@pytest.mark.parametrize("theta", [0.0, 1e-6, 0.3, 1.0])
@pytest.mark.parametrize("text_factor", [1e-3, 1.0, 40.0])
@pytest.mark.parametrize("mask", [False, True])
def test_merges_equal_ordinary_attention(theta, text_factor, mask):
    """The log-sum-exp merges against one softmax with weights, and two calls over [bg, img] and
    [ent, img].
    """
    q, k, v = random_qkv(2, 3, 45, 20)
    k[:, :, :11] *= text_factor
    s = Streams(4, 11)
    mask = torch.randn(2, 1, 45, 45, generator=torch.Generator().manual_seed(2)) if mask else None
    qkv, backend = QKV(q, k, v, mask), by_kernel(kernels.cpu_flash)
    theta_B11 = torch.full((2, 1, 1), theta)
    bias = log_weights(theta_B11, k, s)
    expected = plain_tokens(q, k, v, bias if mask is None else bias + mask)
    assert torch.allclose(attend_weighted(qkv, theta_B11, s, backend), expected, atol=1e-5)
    expected = attend_in_two_calls(qkv, theta_B11, s, plain_tokens)
    assert torch.allclose(attend_in_branches(qkv, theta_B11, s, backend), expected, atol=1e-5)


def test_each_row_may_have_a_theta_of_its_own():
    """As the plate has: all ways to compute it against one call for each row."""
    q, k, v = random_qkv(2, 3, 45, 20)
    qkv = QKV(q, k, v)
    s = Streams(4, 11)
    backend = by_kernel(kernels.cpu_flash)
    theta_B11 = torch.tensor([0.3, 0.0]).view(2, 1, 1)
    alone = [
        (QKV(q[i : i + 1], k[i : i + 1], v[i : i + 1]), theta_B11[i : i + 1]) for i in range(2)
    ]
    for attend in (attend_weighted, attend_in_branches):
        expected = torch.cat([attend(row, theta_111, s, backend) for row, theta_111 in alone])
        assert torch.allclose(attend(qkv, theta_B11, s, backend), expected, atol=1e-6)
    in_two_calls = attend_in_two_calls(qkv, theta_B11, s, plain_tokens)
    masked = plain_tokens(q, k, v, log_weights(theta_B11, k, s))
    merged = attend_in_branches(qkv, theta_B11, s, backend)
    assert torch.allclose(in_two_calls, merged, atol=1e-5)
    assert torch.allclose(masked, attend_weighted(qkv, theta_B11, s, backend), atol=1e-5)
