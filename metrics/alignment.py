"""Text alignment f_ti: how well each image shows its prompt, by CLIP (Radford et al. 2021)."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

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
    check(images_NHWC, prompts)
    prefix, factor = CONVENTIONS[convention]
    texts_NE = clip.embed_texts([prefix + prompt for prompt in prompts])
    cosines_N = (clip.embed_images(images_NHWC) * texts_NE).sum(-1)
    return (factor * cosines_N.clamp(min=0)).tolist()


def check(images_NHWC: torch.Tensor, prompts: Sequence[str]) -> None:
    if images_NHWC.ndim != 4 or images_NHWC.shape[-1] < 3 or not images_NHWC.numel():
        raise ValueError(
            f"images must be RGB images [n, height, width, 3], not {list(images_NHWC.shape)}."
        )
    if len(prompts) != len(images_NHWC):
        raise ValueError(
            f"There are {len(images_NHWC)} images and {len(prompts)} prompts. Give one prompt per"
            " line for each image, in their order."
        )
    if not all(prompt.strip() for prompt in prompts):
        raise ValueError("There is an empty prompt: an image can only be compared with a text.")
    for i, image_HWC in enumerate(images_NHWC, 1):
        if not image_HWC.isfinite().all():
            raise ValueError(
                f"Image {i} contains NaN or infinite pixels. Decode it again with an fp32 VAE, or"
                " load the model in a higher precision."
            )
