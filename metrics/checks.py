"""What the images of every measure must be."""

from collections.abc import Sequence

import torch


def check_images(images_NHWC: torch.Tensor, entities: Sequence[str] | None = None) -> None:
    """ValueError unless these are RGB images of finite numbers, with one entity each if any."""
    if images_NHWC.ndim != 4 or images_NHWC.shape[-1] < 3 or not images_NHWC.numel():
        raise ValueError(
            "The images must be RGB images, of shape [n, height, width, 3], not"
            f" {list(images_NHWC.shape)}."
        )
    if entities is not None:
        check_count(images_NHWC, entities, "entity")  # first: the next message names them
    for i, image_HWC in enumerate(images_NHWC):
        if not image_HWC.isfinite().all():
            raise ValueError(
                "Decode again with an fp32 VAE, or load the model in a higher precision:"
                f" {name_image(i, entities)} contains NaN or infinite pixels."
            )


def check_count(images_NHWC: torch.Tensor, texts: Sequence[str], kind: str) -> None:
    """ValueError unless there is one text per image; kind: entity or prompt."""
    if len(texts) != len(images_NHWC):
        plural = {"entity": "entities", "prompt": "prompts"}[kind]
        be = "is" if len(texts) == 1 else "are"
        or_none = ", or none at all" if kind == "entity" else ""
        raise ValueError(
            f"Give one {kind} per line for each image, in their order{or_none}: of {plural} there"
            f" {be} {len(texts)}, of images {len(images_NHWC)}."
        )


def name_image(index: int, entities: Sequence[str] | None) -> str:
    """An image in words: its number, from 1, and its entity."""
    return f"Image {index + 1}" + (f" ({entities[index]})" if entities else "")
