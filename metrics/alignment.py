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
    """f_ti: how well each image shows the prompt at its place, by CLIP.

    Parameters:
        clip: a ClipModel, which embeds texts and images at unit length.
        images_NHWC: N RGB images in [0, 1].
        prompts: N full prompts.
        convention: "100*cos", max(100·cos, 0) as in the paper; or "hessel", 2.5·max(cos, 0) with
            "A photo depicts " before the prompt (Hessel et al. 2021).

    Returns N numbers.

    ValueError if the convention is unknown, there is not one prompt with text per image, or pixels
    are NaN or infinite.
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
