"""Nodes that pick from a finished set of images."""

from comfy_api.latest import io

CATEGORY = "coupled/images"
LARGEST = 4096


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
    def execute(cls, images, first: int = 0, last: int = -1) -> io.NodeOutput:
        return io.NodeOutput(chosen(images, first, "first"), chosen(images, last, "last"))


def chosen(images_BHWC, index: int, name: str):
    """Image `index` as a batch of one, [1, H, W, C]; negative ones count from the end.

    ValueError outside the batch.
    """
    n = images_BHWC.shape[0]
    if not -n <= index < n:
        raise ValueError(f"{name} is {index}, but there are {n} images: choose {-n} to {n - 1}.")
    row = index % n
    return images_BHWC[row : row + 1]


NODES = [CoupledPair]
