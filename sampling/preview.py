"""Progress and live preview of a set: a grid of all its images.

The host's own preview shows only the first one.
"""

import math
from collections.abc import Callable, Sequence

import comfy.model_management
import comfy.utils
import latent_preview
import torch
from PIL import Image

EMPTY = (32, 32, 36)  # where an image has no preview yet


def grid(pictures: dict[int, Image.Image], n: int) -> Image.Image:
    """n cells, near square and filled by rows; picture i in cell i, all of the first one's size."""
    width, height = next(iter(pictures.values())).size
    columns = math.ceil(math.sqrt(n))
    page = Image.new("RGB", (columns * width, math.ceil(n / columns) * height), EMPTY)
    for i, picture in pictures.items():
        page.paste(picture, (i % columns * width, i // columns * height))
    return page


class SetProgress:
    """The host's progress bar for a set of n images in `steps` sampling steps. It counts steps, in
    however many passes they are made: with two, each pass brings it half as far.
    """

    def __init__(self, model, n: int, steps: int):
        self.n, self.steps, self.value = n, steps, 0
        self.previewer = latent_preview.get_previewer(model.load_device, model.model.latent_format)
        self.bar = comfy.utils.ProgressBar(steps)
        self.pictures: dict[int, Image.Image] = {}

    def callback(self, images: Sequence[int], passes_done: int, passes: int) -> Callable:
        """The host's sampling callback for the pass that makes `images`.

        It raises when the user interrupts.
        """

        def step_done(step: int, x0: torch.Tensor, x: torch.Tensor, total_steps: int) -> None:
            comfy.model_management.throw_exception_if_processing_interrupted()
            # A pass that ran out of memory is begun again: the bar waits until it is as far as
            # before.
            done = passes_done * self.steps + min(step + 1, self.steps)
            self.value = max(self.value, done // passes)
            self.bar.update_absolute(self.value, self.steps, self.preview(images, x0))

        return step_done

    def preview(
        self, images: Sequence[int], x0: torch.Tensor
    ) -> tuple[str, Image.Image, int] | None:
        """The grid as the host's progress takes it: (format, picture, largest size).

        None when previews are off.
        """
        if self.previewer is None:
            return None
        shown = None
        for row, i in enumerate(images):
            shown = self.previewer.decode_latent_to_preview_image("JPEG", x0[row : row + 1])
            if shown is None or not isinstance(
                shown[1], Image.Image
            ):  # a previewer that shows its pictures itself
                return shown
            self.pictures[i] = shown[1]
        assert shown is not None  # no pass is without images
        return (shown[0], grid(self.pictures, self.n), shown[2])
