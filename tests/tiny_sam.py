"""A small Segment Anything of random weights, in its own classes."""

from functools import partial

import torch
from segment_anything.modeling import (
    ImageEncoderViT,
    MaskDecoder,
    PromptEncoder,
    Sam,
    TwoWayTransformer,
)


def tiny_sam(pixels=128, patch=16, width=16, channels=32) -> Sam:
    """A Sam of random weights with one windowed and one global block, as the published ones
    have.
    """
    torch.manual_seed(0)
    grid = pixels // patch
    encoder = ImageEncoderViT(
        pixels,
        patch,
        3,
        width,
        2,
        2,
        2.0,
        channels,
        use_rel_pos=True,
        window_size=3,
        global_attn_indexes=(1,),
        norm_layer=partial(torch.nn.LayerNorm, eps=1e-6),
    )
    decoder = MaskDecoder(
        num_multimask_outputs=3,
        transformer_dim=channels,
        iou_head_hidden_dim=24,
        transformer=TwoWayTransformer(2, channels, 8, 48),
    )
    return Sam(encoder, PromptEncoder(channels, (grid, grid), (pixels, pixels), 8), decoder).eval()
