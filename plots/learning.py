"""A learning as a picture: the best schedule's course, and below it the images of the first set
made with it.
"""

import torch
from PIL import Image

from ..schedules import from_values
from .theta import PAGE, WIDTH, draw_theta

MARGIN, TALLEST = 20, 480


def draw_learning(learning) -> Image.Image:
    """An RGB picture, 1152 pixels wide. ValueError before the first candidate."""
    best = learning.best()
    steps = learning.task.painter.settings.steps
    if best is None:
        raise ValueError("Nothing was tried yet, so there is nothing to show. Give it more time.")
    values = learning.schedule_of(best).values(steps)
    title = (
        f"{'learned' if learning.finished else 'best so far'}: score"
        f" {best.score(learning.weights):.3f}"
    )
    course = draw_theta(from_values(values, title, f"by {best.stage}")[0], steps)
    strip = draw_strip(learning.images())
    page = Image.new("RGB", (WIDTH, course.height + strip.height + MARGIN), PAGE)
    page.paste(course, (0, 0))
    page.paste(strip, ((WIDTH - strip.width) // 2, course.height))
    return page


def draw_strip(images_NHWC: torch.Tensor) -> Image.Image:
    """Images [n, H, W, 3] in [0, 1] side by side, as large as the page allows."""
    n, height, width = images_NHWC.shape[:3]
    scale = min((WIDTH - (n + 1) * MARGIN) / (n * width), TALLEST / height)
    size = max(1, round(scale * width)), max(1, round(scale * height))
    strip = Image.new("RGB", (n * size[0] + (n - 1) * MARGIN, size[1]), PAGE)
    for i, image_HWC in enumerate(images_NHWC):
        pixels = (image_HWC[..., :3].cpu() * 255).round().byte().numpy()
        strip.paste(
            Image.fromarray(pixels).resize(size, Image.Resampling.LANCZOS),
            (i * (size[0] + MARGIN), 0),
        )
    return strip
