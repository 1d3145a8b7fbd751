"""Decode Coupled Set: outside the subjects each image is the plate, pixel by pixel."""

import pytest
import torch

from coupled.mini.model import mini_vae
from coupled.sampling import decode_set
from coupled.sampling.decode import decode_each, fade_inside


@pytest.fixture(scope="module")
def vae():
    return mini_vae()


def latent(n, seed, size=8):
    return {"samples": torch.randn(n, 16, size, size, generator=torch.manual_seed(seed))}


def masks(n=2, size=64):
    """A square in each, at another place."""
    masks_nHW = torch.zeros(n, size, size)
    for i in range(n):
        masks_nHW[i, 16:48, 8 * i + 8 : 8 * i + 40] = 1
    return masks_nHW


def test_outside_the_masks_every_image_has_the_plates_own_pixels(vae):
    images, plate = decode_set(latent(2, 0), vae, latent(1, 1), masks(), feather=8)
    outside = masks() == 0
    assert torch.equal(images[outside], plate.expand_as(images)[outside])
    assert torch.equal(plate, vae.decode(latent(1, 1)["samples"]))


def test_deep_inside_its_mask_an_image_is_itself_and_the_way_there_is_even(vae):
    images, plate = decode_set(latent(2, 0), vae, latent(1, 1), masks(), feather=4)
    own = decode_each(vae, latent(2, 0)["samples"])
    assert torch.allclose(images[0, 24:40, 16:32], own[0, 24:40, 16:32], atol=1e-6)
    row = fade_inside(masks(), 4)[0, 32, 7:14]
    assert torch.allclose(row, torch.tensor([0, 1, 3, 5, 7, 9, 9]) / 9, atol=1e-6)


def test_no_feather_is_a_hard_edge(vae):
    images, plate = decode_set(latent(2, 0), vae, latent(1, 1), masks(), feather=0)
    own = decode_each(vae, latent(2, 0)["samples"])
    assert torch.equal(images, torch.where(masks()[..., None] > 0, own, plate))


def test_a_mask_that_ends_at_the_frame_does_not_fade_there():
    whole = torch.ones(1, 32, 32)
    assert torch.equal(fade_inside(whole, 8), whole)


def test_a_photo_gives_its_own_pixels(vae):
    photo = torch.rand(1, 64, 64, 3)
    images, plate = decode_set(latent(2, 0), vae, latent(1, 1), masks(), 8, photo)
    outside = masks() == 0
    assert torch.equal(plate, photo)
    assert torch.equal(images[outside], photo.expand_as(images)[outside])


def test_without_plate_or_masks_the_images_are_decoded_as_they_are(vae):
    own = decode_each(vae, latent(2, 0)["samples"])
    assert torch.equal(decode_set(latent(2, 0), vae)[0], own)
    assert torch.equal(decode_set(latent(2, 0), vae, latent(1, 1))[0], own)
    images, plate = decode_set(latent(2, 0), vae, masks_nHW=masks())
    assert torch.equal(images, own) and plate is None


def test_masks_of_another_size_and_one_mask_for_all_are_fitted(vae):
    small = masks(size=64)[:1, ::8, ::8]
    images, plate = decode_set(latent(2, 0), vae, latent(1, 1), small, feather=0)
    fitted = small.repeat_interleave(8, 1).repeat_interleave(8, 2)
    outside = (fitted == 0).expand(2, -1, -1)
    assert torch.equal(images[outside], plate.expand_as(images)[outside])
    assert not torch.equal(images[0], plate[0])


@pytest.mark.parametrize(
    "plate, masks_nHW, words",
    [
        (latent(2, 1), masks(), "this is 2 of 64 × 64"),
        (latent(1, 1, size=10), masks(), "^Connect the plate.*64 × 64, and this is 1 of 80 × 80"),
        (latent(1, 1), masks(3), r"^Connect one mask.*\[3, 64, 64\], and the set is one of 2"),
        (latent(1, 1), masks()[..., None], r"shape \[2, 64, 64, 1\]"),
    ],
)
def test_parts_that_do_not_fit_are_refused(vae, plate, masks_nHW, words):
    with pytest.raises(ValueError, match=words):
        decode_set(latent(2, 0), vae, plate, masks_nHW)
