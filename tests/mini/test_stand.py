"""Noise that tells how the subject of its scene stands."""

import pytest
import torch

from coupled.mini.training.stand import LEADERS, lead_noise

N, WAYS, CHANNELS = 12_000, len(LEADERS), 7


@pytest.fixture(scope="module")
def led():
    """(noise, led noise, stands): as many scenes of each way to stand, and as many without one."""
    generator = torch.Generator().manual_seed(0)
    noise_NCHW = torch.randn(N, CHANNELS, 4, 4, generator=generator)
    stand_N = torch.arange(N) % (WAYS + 1)
    return noise_NCHW, lead_noise(noise_NCHW, stand_N), stand_N


def test_the_channel_of_the_way_to_stand_is_the_highest(led):
    _, led_NCHW, stand_N = led
    stands = stand_N > 0
    highest_N = led_NCHW[:, LEADERS].mean((2, 3)).argmax(1)
    assert torch.equal(highest_N[stands], stand_N[stands] - 1)


def test_noise_without_a_subject_stays_and_so_do_all_other_channels(led):
    noise_NCHW, led_NCHW, stand_N = led
    assert torch.equal(led_NCHW[stand_N == 0], noise_NCHW[stand_N == 0])
    others = [c for c in range(CHANNELS) if c not in LEADERS]
    assert torch.equal(led_NCHW[:, others], noise_NCHW[:, others])


def test_all_in_all_it_is_as_normal_as_it_was(led):
    """Mean and covariance of the channels' means, and of two pixels of each, within five standard
    errors.
    """
    _, led_NCHW, _ = led
    for part_NCL in (4 * led_NCHW.mean((2, 3))[..., None], led_NCHW[..., 0, :2]):
        flat_ND = part_NCL.flatten(1)
        error = 5 * N**-0.5
        assert flat_ND.mean(0).abs().max() < error
        assert (flat_ND.T.cov() - torch.eye(flat_ND.shape[1])).abs().max() < 2**0.5 * error
