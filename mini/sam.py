"""Mini SAM: Segment Anything's own classes in small sizes, for pictures of the mini world, with the
weights beside.
"""

from typing import TYPE_CHECKING

from ..metrics.checkpoint import NORM
from ..metrics.segment import Segmenter, import_segment_anything
from .model import read
from .size import SIZE

if TYPE_CHECKING:
    from segment_anything.modeling import Sam

PATCH = 16
WIDTH = 192
DEPTH = 4
HEADS = 6
EMBEDDING = 128
DECODER_HEADS = 4


def build_mini_sam() -> "Sam":
    """The untrained model. ImportError without the package segment-anything.

    Masks come out at a quarter of a patch: 64 × 64 logits for a picture of 256 × 256.
    """
    import_segment_anything()
    from segment_anything.modeling import (
        ImageEncoderViT,
        MaskDecoder,
        PromptEncoder,
        Sam,
        TwoWayTransformer,
    )

    grid = SIZE // PATCH
    encoder = ImageEncoderViT(
        img_size=SIZE,
        patch_size=PATCH,
        embed_dim=WIDTH,
        depth=DEPTH,
        num_heads=HEADS,
        mlp_ratio=3.0,
        out_chans=EMBEDDING,
        norm_layer=NORM,
    )
    decoder = MaskDecoder(
        num_multimask_outputs=1,  # the world's subjects have no parts worth a mask of their own
        transformer=TwoWayTransformer(
            depth=2, embedding_dim=EMBEDDING, mlp_dim=2 * EMBEDDING, num_heads=DECODER_HEADS
        ),
        transformer_dim=EMBEDDING,
        iou_head_depth=3,
        iou_head_hidden_dim=EMBEDDING,
    )
    prompts = PromptEncoder(
        embed_dim=EMBEDDING,
        image_embedding_size=(grid, grid),
        input_image_size=(SIZE, SIZE),
        mask_in_chans=16,
    )
    return Sam(encoder, prompts, decoder)


def load_mini_sam() -> Segmenter:
    """The trained model in float32, ready to segment.

    ImportError without the package segment-anything; FileNotFoundError if the weights are not
    where the pack put them.
    """
    sam = build_mini_sam()
    sam.load_state_dict({name: weight.float() for name, weight in read("sam").items()})
    return Segmenter(sam)
