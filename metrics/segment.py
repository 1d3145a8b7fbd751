"""The entity's mask of each image, by a Segment Anything model (Kirillov et al. 2023) and no click.

Each image is judged alone. What differs between the images of a set would be a strong hint, but it
must not be taken: the masks decide where backgrounds are compared, and would then hide the very
differences to be measured. The recipe by which the entity is told from sky and floor stands in
`proposals.py`.
"""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import comfy.model_management
import comfy.model_patcher
import comfy.utils
import torch
from torch.nn import functional as F

from .checkpoint import sam_of
from .checks import check_images, name_image
from .packages import require
from .proposals import (
    Proposals,
    areas,
    check_search,
    grid_points,
    pairwise_iou,
    pick_entity,
    shape_prior,
    stability,
)
from .weights import read_weights

if TYPE_CHECKING:
    from segment_anything.modeling import Sam

PROMPTS_AT_ONCE = 32
UNLIKELY_QUALITY, SMALLEST = (
    0.1,
    0.002,
)  # proposals below either are dropped at once, to save memory
SAME_THING, NO_WORSE = 0.7, 0.95
RELEASED = "sam_vit_b_01ec64.pth, sam_vit_l_0b3195.pth or sam_vit_h_4b8939.pth"


def import_segment_anything():
    return require("segment_anything", "segment-anything", needed_by="Segment Entities")


class Segmenter:
    """A Sam module in the host's care: `load` brings it to the GPU, and the host may take it off
    again.
    """

    def __init__(self, sam: "Sam"):
        self.sam = sam.eval().requires_grad_(False)
        self.device = comfy.model_management.get_torch_device()
        # In a list, because the host writes `device` to the module it holds, and Sam's own `device`
        # is read-only.
        self.patcher = comfy.model_patcher.CoreModelPatcher(
            torch.nn.ModuleList([sam]),
            load_device=self.device,
            offload_device=comfy.model_management.unet_offload_device(),
        )

    def load(self) -> None:
        """Make it ready for use, with room for the encoder's attention over the whole picture, its
        largest tensor.
        """
        tokens = self.sam.prompt_encoder.image_embedding_size[0] ** 2
        block: Any = self.sam.image_encoder.blocks[0]
        memory = (
            4 * 4 * block.attn.num_heads * tokens**2
        )  # float32; logits, softmax and the two relative-position terms
        comfy.model_management.load_models_gpu([self.patcher], memory_required=memory)

    def framed(self, height: int, width: int) -> tuple[int, int]:
        """The size at which a picture enters the model: its longest side is the model's own."""
        scale = self.sam.image_encoder.img_size / max(height, width)
        return max(1, round(height * scale)), max(1, round(width * scale))

    def embed(self, image_HWC: torch.Tensor) -> torch.Tensor:
        """The picture's embedding [1, C, h, w], for any number of prompts."""
        image_1CHW = image_HWC[None, ..., :3].permute(0, 3, 1, 2).float() * 255
        size = self.framed(*image_HWC.shape[:2])
        # Before it goes to the device: not every one (MPS) can resize with antialiasing.
        image_1CHW = F.interpolate(
            image_1CHW, size, mode="bilinear", align_corners=False, antialias=True
        )
        return self.sam.image_encoder(self.sam.preprocess(image_1CHW.to(self.device)))

    def decode(
        self, embedding: torch.Tensor, points_P2=None, boxes_P4=None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits [P, K, h, w] and predicted IoU [P, K] of foreground points, with K masks each, or
        of boxes, with one.

        Prompts are (x, y) and (left, top, right, bottom) in pixels of the framed picture. The
        logits cover the square that the model sees, padding included.
        """
        by_points = points_P2 is not None
        points = (
            (points_P2[:, None], torch.ones(len(points_P2), 1, device=points_P2.device))
            if by_points
            else None
        )
        sparse, dense = self.sam.prompt_encoder(points=points, boxes=boxes_P4, masks=None)
        return self.sam.mask_decoder(
            image_embeddings=embedding,
            image_pe=self.sam.prompt_encoder.get_dense_pe(),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            multimask_output=by_points,
        )

    def cells(self, framed: tuple[int, int]) -> tuple[int, int]:
        """The rows and columns of the logits that lie on the picture, not on the padding."""
        full, size = self.sam.prompt_encoder.mask_input_size[0], self.sam.image_encoder.img_size
        rows, columns = (max(1, round(length * full / size)) for length in framed)
        return rows, columns


@torch.inference_mode()
def segment_entities(
    segmenter: Segmenter,
    images_NHWC: torch.Tensor,
    entities: Sequence[str] | None = None,
    points_per_side: int = 16,
    min_score: float = 0.2,
) -> torch.Tensor:
    """Finds the one entity of each image.

    Parameters:
        segmenter: a Segment Anything model, from `load_sam` or `load_mini_sam`.
        images_NHWC: RGB images in [0, 1].
        entities: a name for each image, for the warning; they do not steer the search.
        points_per_side: the grid of points that propose masks.
        min_score: proposals below it count as no entity, in [0, 1].

    Returns masks [N, H, W] in {0, 1}. A mask is all zero, with a warning, if nothing reaches
    min_score.

    ValueError if these are not images, pixels are NaN or infinite, there is not one name per image,
    or a setting is out of range.
    """
    check_images(images_NHWC, entities)
    check_search(points_per_side, min_score)
    segmenter.load()
    progress = comfy.utils.ProgressBar(len(images_NHWC))
    masks_NHW = torch.zeros(
        images_NHWC.shape[:3], device=comfy.model_management.intermediate_device()
    )
    for i, image_HWC in enumerate(images_NHWC):
        mask_HW = entity_mask(segmenter, image_HWC, points_per_side, min_score)
        if mask_HW is None:
            logging.warning(
                "Coupled: no entity was found in %s: its mask is empty. Lower min_score, or draw a"
                " mask by hand.",
                name_image(i, entities),
            )
        else:
            masks_NHW[i] = mask_HW
        progress.update(1)
    return masks_NHW


def entity_mask(
    segmenter: Segmenter, image_HWC, points_per_side: int, min_score: float
) -> torch.Tensor | None:
    """The mask [H, W] of one image's entity; None when nothing scores `min_score`."""
    size = tuple(image_HWC.shape[:2])
    framed = segmenter.framed(*size)
    embedding = segmenter.embed(image_HWC)
    proposals = propose_masks(
        segmenter, embedding, framed, grid_points(points_per_side).to(segmenter.device)
    )
    index = pick_entity(proposals, min_score)
    if index is None:
        return None
    logits_HW = refine_mask(segmenter, embedding, framed, proposals.logits_NHW[index])
    # Bilinear, as Segment Anything enlarges its own logits.
    logits_11HW = F.interpolate(logits_HW[None, None], size, mode="bilinear", align_corners=False)
    return (logits_11HW[0, 0] > 0).float()


def propose_masks(
    segmenter: Segmenter, embedding, framed: tuple[int, int], points_P2: torch.Tensor
) -> Proposals:
    """What all grid points propose, without what is empty or hopeless.

    Stops when the user interrupts the host.
    """
    height, width = segmenter.cells(framed)
    parts = []
    pixels_P2 = points_P2 * points_P2.new_tensor(framed[::-1])
    for start in range(0, len(points_P2), PROMPTS_AT_ONCE):
        comfy.model_management.throw_exception_if_processing_interrupted()
        logits, iou = segmenter.decode(
            embedding, points_P2=pixels_P2[start : start + PROMPTS_AT_ONCE]
        )
        logits_NHW, iou_N = logits[..., :height, :width].flatten(0, 1), iou.flatten()
        origin_N = torch.arange(start, start + len(logits), device=iou.device).repeat_interleave(
            iou.shape[1]
        )
        keep_N = (iou_N * stability(logits_NHW) > UNLIKELY_QUALITY) & (
            areas(logits_NHW > 0) > SMALLEST
        )
        keep_N &= shape_prior(logits_NHW > 0) > 0
        parts.append((logits_NHW[keep_N], iou_N[keep_N], origin_N[keep_N]))
    return Proposals(*(torch.cat(part) for part in zip(*parts, strict=True)), points_P2)


def refine_mask(
    segmenter: Segmenter, embedding, framed: tuple[int, int], logits_HW: torch.Tensor
) -> torch.Tensor:
    """The answer to the mask's box as a prompt, where it is the same thing and no worse; else the
    mask itself.
    """
    height, width = logits_HW.shape
    rows, columns = ((logits_HW > 0).any(other).nonzero() for other in (1, 0))
    scale_y, scale_x = framed[0] / height, framed[1] / width
    box = [
        columns[0] * scale_x,
        rows[0] * scale_y,
        (columns[-1] + 1) * scale_x,
        (rows[-1] + 1) * scale_y,
    ]
    logits, _ = segmenter.decode(embedding, boxes_P4=torch.cat(box)[None])
    both = torch.stack([logits_HW, logits[0, 0, :height, :width]])
    same = pairwise_iou(both > 0)[0, 1] >= SAME_THING
    before, after = shape_prior(both > 0) * stability(both)
    return both[1] if same and after >= NO_WORSE * before else logits_HW


def load_sam(path: str | Path) -> Segmenter:
    """A Segment Anything checkpoint of any size, known by the shapes of its weights; no code in the
    file is run.

    FileNotFoundError: no such file. ValueError: another kind of model, or no weights at all.
    """
    import_segment_anything()
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f"There is no Segment Anything checkpoint {path.name}. Put one into models/sams."
        )
    weights = read_weights(path)
    try:
        return Segmenter(sam_of(weights))
    except (AttributeError, KeyError, RuntimeError, TypeError, ValueError) as error:
        raise ValueError(
            f"{path.name} is not a checkpoint of the original Segment Anything"
            f" ({str(error)[:200]}). Use {RELEASED}, as .pth or .safetensors."
        ) from error
