"""Text alignment f_ti: how well each image shows its prompt, by CLIP (Radford et al. 2021)."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from .checks import check_count, check_images

if TYPE_CHECKING:
    from .clip import ClipModel

# Text before the prompt, and the factor of max(cos, 0). The second is that of Hessel et al. 2021.
CONVENTIONS = {"100*cos": ("", 100.0), "hessel": ("A photo depicts ", 2.5)}


def text_alignment(
    clip: "ClipModel",
    images_NHWC: torch.Tensor,
    prompts: Sequence[str],
    convention: str = "100*cos",
) -> list[float]:
    """f_ti of each image with the prompt of the same place; images: RGB in [0, 1].

    ValueError: as many prompts as images are needed, all with text, and pixels that are numbers.
    """
    if convention not in CONVENTIONS:
        raise ValueError(
            f"There is no convention {convention!r}; choose one of {', '.join(CONVENTIONS)}."
        )
    check_prompts(images_NHWC, prompts)
    prefix, factor = CONVENTIONS[convention]
    texts_NE = clip.embed_texts([prefix + prompt for prompt in prompts])
    cosines_N = (clip.embed_images(images_NHWC) * texts_NE).sum(-1)
    return (factor * cosines_N.clamp(min=0)).tolist()


def check_prompts(images_NHWC: torch.Tensor, prompts: Sequence[str]) -> None:
    check_images(images_NHWC)
    check_count(images_NHWC, prompts, "prompt")
    if not all(prompt.strip() for prompt in prompts):
        raise ValueError("There is an empty prompt: an image can only be compared with a text.")
