"""Draws mini/photo.webp, the scene that stands for a user's own photo:
`python -m mini.training.make_photo`.
"""

import numpy as np
from PIL import Image

from ..photo import PHOTO
from ..world import PLACES, draw_scene

SEED, PLACE = 902, "room"


def main() -> None:
    (place,) = (place for place in PLACES if place.name == PLACE)
    scene = draw_scene(np.random.default_rng(SEED), None, place)
    Image.fromarray(scene.image_HWC).save(PHOTO, lossless=True, method=6)


if __name__ == "__main__":
    main()
