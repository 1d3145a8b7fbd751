"""How alike the images of a set end."""

import torch

from coupled.sampling.alike import NEAR, share_alike


def test_the_share_is_that_of_the_pixels_that_all_images_have():
    torch.manual_seed(0)
    samples_NCHW = torch.randn(1, 16, 8, 8).repeat(3, 1, 1, 1)
    assert share_alike(samples_NCHW) == 1
    samples_NCHW[2, :, :, :2] += 3  # a quarter of one image
    assert share_alike(samples_NCHW) == 0.75
    assert share_alike(torch.randn(3, 16, 8, 8)) == 0


def test_it_is_the_same_on_any_scale():
    torch.manual_seed(0)
    samples_NCHW = torch.randn(1, 16, 8, 8).repeat(2, 1, 1, 1)
    samples_NCHW[1, :, 0] += NEAR  # the images are half of it away from their mean
    samples_NCHW[1, :, 1] += 4 * NEAR
    assert share_alike(samples_NCHW) == share_alike(1000 * samples_NCHW) == 0.875
