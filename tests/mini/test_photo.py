"""The picture that comes with Load Mini Flux, as the background of a set."""

import numpy as np
import torch
from PIL import Image

from coupled.mini import photo
from coupled.mini.size import SIZE
from coupled.mini.training import make_photo
from coupled.nodes.loaders import CoupledLoadMini


def test_it_is_an_image_of_the_size_that_the_model_knows():
    *_, image = CoupledLoadMini.execute().result
    assert image.shape == (1, SIZE, SIZE, 3) and image.dtype == torch.float32
    assert 0 <= image.min() and image.max() <= 1 and image.std() > 0.1


def test_it_is_drawn_by_the_mini_world(tmp_path, monkeypatch):
    monkeypatch.setattr(make_photo, "PHOTO", tmp_path / "photo.webp")
    make_photo.main()
    with Image.open(tmp_path / "photo.webp") as drawn, Image.open(photo.PHOTO) as shipped:
        assert np.array_equal(np.asarray(drawn), np.asarray(shipped))
