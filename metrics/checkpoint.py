"""A Segment Anything model from its weights alone: their shapes tell its sizes (ViT-B, L, H, or any
other).
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from segment_anything.modeling import ImageEncoderViT, MaskDecoder, Sam

Weights = dict[str, torch.Tensor]
DECODER_HEADS = (
    8  # of every published Segment Anything model; the one size that no weight's shape tells
)
PIXEL_MEAN, PIXEL_STD = (
    (123.675, 116.28, 103.53),
    (58.395, 57.12, 57.375),
)  # Sam's own, which no file holds

# Any: segment_anything asks for a class, and is given this by its own builder.
NORM: Any = partial(torch.nn.LayerNorm, eps=1e-6)


def sam_of(weights: Weights) -> Sam:
    """The Sam that `weights` belong to, holding them in float32.

    KeyError or RuntimeError when they are not a Sam's.
    """
    with torch.device(
        "meta"
    ):  # neither filled nor allocated: the weights themselves take the parameters' places
        sam = empty_sam(weights)
    sam.load_state_dict(
        {name: weight.float() for name, weight in weights.items()}, strict=True, assign=True
    )
    sam.pixel_mean = torch.tensor(PIXEL_MEAN)[:, None, None]
    sam.pixel_std = torch.tensor(PIXEL_STD)[:, None, None]
    return sam


def empty_sam(weights: Weights) -> Sam:
    """An untrained Sam with weights of these shapes; KeyError where a weight that tells a size is
    missing.
    """
    from segment_anything.modeling import PromptEncoder, Sam

    _, grid, _, _ = weights["image_encoder.pos_embed"].shape
    pixels = grid * weights["image_encoder.patch_embed.proj.weight"].shape[-1]
    channels, hidden = (
        weights[f"prompt_encoder.mask_downscaling.6.{name}"].shape for name in ("bias", "weight")
    )
    prompts = PromptEncoder(
        embed_dim=channels[0],
        image_embedding_size=(grid, grid),
        input_image_size=(pixels, pixels),
        mask_in_chans=hidden[1],
    )
    return Sam(empty_encoder(weights, grid, pixels), prompts, empty_decoder(weights, channels[0]))


def empty_encoder(weights: Weights, grid: int, pixels: int) -> ImageEncoderViT:
    """The image encoder.

    Its relative positions tell the heads' width and which blocks look within windows.
    """
    from segment_anything.modeling import ImageEncoderViT

    depth = count(weights, "image_encoder.blocks.")
    reach = [weights[f"image_encoder.blocks.{i}.attn.rel_pos_h"].shape for i in range(depth)]
    hidden, width = weights["image_encoder.blocks.0.mlp.lin1.weight"].shape
    return ImageEncoderViT(
        img_size=pixels,
        patch_size=pixels // grid,
        embed_dim=width,
        depth=depth,
        num_heads=width // reach[0][1],
        mlp_ratio=hidden / width,
        out_chans=weights["image_encoder.neck.0.weight"].shape[0],
        norm_layer=NORM,
        use_rel_pos=True,
        window_size=(min(length for length, _ in reach) + 1) // 2,
        global_attn_indexes=tuple(
            i for i, (length, _) in enumerate(reach) if length == 2 * grid - 1
        ),
    )


def empty_decoder(weights: Weights, channels: int) -> MaskDecoder:
    """The mask decoder."""
    from segment_anything.modeling import MaskDecoder, TwoWayTransformer

    transformer = TwoWayTransformer(
        depth=count(weights, "mask_decoder.transformer.layers."),
        embedding_dim=channels,
        num_heads=DECODER_HEADS,
        mlp_dim=weights["mask_decoder.transformer.layers.0.mlp.lin1.weight"].shape[0],
    )
    return MaskDecoder(
        num_multimask_outputs=weights["mask_decoder.mask_tokens.weight"].shape[0] - 1,
        transformer=transformer,
        transformer_dim=channels,
        iou_head_depth=count(weights, "mask_decoder.iou_prediction_head.layers."),
        iou_head_hidden_dim=weights["mask_decoder.iou_prediction_head.layers.0.weight"].shape[0],
    )


def count(weights: Weights, prefix: str) -> int:
    """How many numbered modules there are under `prefix`."""
    return len(
        {name.removeprefix(prefix).split(".")[0] for name in weights if name.startswith(prefix)}
    )
