"""Nodes that decode a sampled set, and pick from its images."""

from comfy_api.latest import io, ui

from .background import describe_backgrounds

CATEGORY = "coupled/images"
LARGEST = 4096


class CoupledDecode(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="CoupledDecode",
            display_name="Decode Coupled Set",
            category=CATEGORY,
            description=(
                "Decodes a set so that its backgrounds are the same in every pixel: outside the"
                " subjects each image takes the pixels of the plate."
            ),
            search_aliases=[
                "vae decode",
                "same background",
                "identical background",
                "clean plate",
                "composite",
            ],
            inputs=[
                io.Latent.Input("latent", tooltip="The images, from Coupled Sampler."),
                io.Vae.Input("vae", tooltip="The VAE of the model."),
                io.Latent.Input(
                    "plate",
                    optional=True,
                    tooltip=(
                        "The background alone, from Coupled Sampler. Without it the images are"
                        " decoded as they are."
                    ),
                ),
                io.Mask.Input(
                    "entity_masks",
                    optional=True,
                    tooltip=(
                        "Where the subjects are, from Coupled Sampler: one mask for each image, or"
                        " one for all. Without it the images are decoded as they are."
                    ),
                ),
                io.Image.Input(
                    "photo",
                    optional=True,
                    tooltip=(
                        "The picture that you encoded as the plate of Coupled Attention: then the"
                        " background is its own pixels, not what the VAE made of them."
                    ),
                ),
                io.Int.Input(
                    "feather",
                    default=8,
                    min=0,
                    max=256,
                    tooltip=(
                        "Over how many pixels an image passes into the plate, inside the edge of"
                        " its mask. 0 is a hard edge."
                    ),
                ),
            ],
            outputs=[
                io.Image.Output("images", display_name="images", tooltip="The images of the set."),
                io.Image.Output(
                    "plate_image",
                    display_name="plate",
                    tooltip="The background alone, for compositing or for pairs with and without.",
                ),
                io.Mask.Output(
                    "masks", display_name="entity_masks", tooltip="The masks, as they came in."
                ),
            ],
        )

    @classmethod
    def execute(
        cls, latent, vae, plate=None, entity_masks=None, photo=None, feather=8
    ) -> io.NodeOutput:
        from comfy_execution.graph_utils import ExecutionBlocker

        from ..sampling import decode_set

        images, plate_image = decode_set(latent, vae, plate, entity_masks, feather, photo)
        missing = "Connect {0} of Decode Coupled Set: Coupled Sampler gives it in mode local."
        outputs = [
            images,
            ExecutionBlocker(missing.format("plate")) if plate_image is None else plate_image,
            ExecutionBlocker(missing.format("entity_masks"))
            if entity_masks is None
            else entity_masks,
        ]
        return io.NodeOutput(*outputs)


class CoupledPair(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        counting = "0 is the first image, 1 the second; -1 is the last, -2 the one before it."
        return io.Schema(
            node_id="CoupledPair",
            display_name="First and Last Frame",
            category=CATEGORY,
            description=(
                "Two images of a set, for the start and the end of a video with one background."
                " The node shows them side by side, and with masks how alike their backgrounds are."
            ),
            search_aliases=[
                "first last frame",
                "start end image",
                "frame pair",
                "before after",
                "storyboard",
                "image from batch",
            ],
            inputs=[
                io.Image.Input("images", tooltip="The images of a set."),
                io.Int.Input(
                    "first", default=0, min=-LARGEST, max=LARGEST, tooltip=f"The start. {counting}"
                ),
                io.Int.Input(
                    "last", default=-1, min=-LARGEST, max=LARGEST, tooltip=f"The end. {counting}"
                ),
                io.Mask.Input(
                    "entity_masks",
                    optional=True,
                    tooltip=(
                        "Where the subjects are, one mask for each image, or one for all: from"
                        " Coupled Sampler or Segment Entities. With it the node says how alike the"
                        " two backgrounds are."
                    ),
                ),
            ],
            outputs=[
                io.Image.Output(
                    "first_image", display_name="first", tooltip="The image to start from."
                ),
                io.Image.Output(
                    "last_image", display_name="last", tooltip="The image to end with."
                ),
            ],
        )

    @classmethod
    def execute(cls, images, first: int = 0, last: int = -1, entity_masks=None) -> io.NodeOutput:
        import torch

        pair = [chosen(images, first, "first"), chosen(images, last, "last")]
        pair_2HWC = torch.cat(pair)
        shown = ui.PreviewImage(pair_2HWC, cls=cls).as_dict()
        if entity_masks is not None:
            masks_2HW = choose_masks(entity_masks, len(images), first, last)
            shown |= ui.PreviewText(describe_backgrounds(pair_2HWC, masks_2HW)).as_dict()
        return io.NodeOutput(*pair, ui=shown)


def chosen(images_BHWC, index: int, name: str):
    """Image `index` as a batch of one, [1, H, W, C]; negative ones count from the end.

    ValueError outside the batch.
    """
    n = images_BHWC.shape[0]
    if not -n <= index < n:
        raise ValueError(
            f"Choose {-n} to {n - 1} for {name}: it is {index}, but there {count_images(n)}."
        )
    row = index % n
    return images_BHWC[row : row + 1]


def count_images(n: int) -> str:
    return "is 1 image" if n == 1 else f"are {n} images"


def choose_masks(masks_nHW, n: int, first: int, last: int):
    """The masks of two of n images, [2, H, W]; one mask counts for all.

    ValueError for another number of masks.
    """
    if masks_nHW.ndim != 3 or len(masks_nHW) not in (1, n):
        raise ValueError(
            f"Give entity_masks one mask for each image, or one for all: it is"
            f" {list(masks_nHW.shape)}, but there {count_images(n)}."
        )
    return masks_nHW.expand(n, -1, -1)[[first, last]]


NODES = [CoupledDecode, CoupledPair]
