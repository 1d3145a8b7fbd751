"""The node that finds the entity of each image."""

import os

import folder_paths
from comfy_api.latest import io

from ..prompts.split import lines_of

CATEGORY = "coupled/measure"
FOLDER = "sams"  # models/sams, as other packs have it
WEIGHTS = (".pth", ".pt", ".safetensors")
NO_CHECKPOINT = "(none: put a Segment Anything checkpoint into models/sams)"

folder_paths.add_model_folder_path(FOLDER, os.path.join(folder_paths.models_dir, FOLDER))


def checkpoint_names() -> list[str]:
    """What the checkpoint list shows.

    A folder added by a pack takes files of every kind: only weights are offered.
    """
    names = [
        name for name in folder_paths.get_filename_list(FOLDER) if name.lower().endswith(WEIGHTS)
    ]
    return names or [NO_CHECKPOINT]


def segmenter_options() -> list[io.DynamicCombo.Option]:
    """The inputs of each segmenter."""
    checkpoint = io.Combo.Input(
        "checkpoint",
        options=checkpoint_names(),
        tooltip=(
            "A file of models/sams: sam_vit_b_01ec64.pth (quickest), sam_vit_l_0b3195.pth or"
            " sam_vit_h_4b8939.pth."
        ),
    )
    points_per_side = io.Int.Input(
        "points_per_side",
        default=16,
        min=2,
        max=64,
        tooltip=(
            "The image is asked at this many points across and down. More finds smaller entities,"
            " and takes longer."
        ),
    )
    min_score = io.Float.Input(
        "min_score",
        default=0.2,
        min=0.0,
        max=1.0,
        step=0.01,
        tooltip=(
            "What a mask must score, from 0 to 1, to be taken for the entity. Lower it when an"
            " entity is missed, raise it when a piece of background is taken."
        ),
    )
    return [
        io.DynamicCombo.Option("segment anything", [checkpoint, points_per_side, min_score]),
        io.DynamicCombo.Option("mini", []),
    ]


class CoupledSegmentEntities(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="CoupledSegmentEntities",
            display_name="Segment Entities",
            category=CATEGORY,
            description=(
                "The mask of the one entity in each image, found without a click, for measuring the"
                " background around it. Where none is found the mask stays empty, with a warning in"
                " the log."
            ),
            search_aliases=["segment anything", "SAM", "entity mask", "subject mask", "foreground"],
            inputs=[
                io.Image.Input(
                    "images",
                    tooltip="The images of a set, each with one entity. Each is judged alone.",
                ),
                io.DynamicCombo.Input(
                    "segmenter",
                    options=segmenter_options(),
                    tooltip=(
                        "segment anything: Meta's model, for any image; needs the package"
                        " segment-anything and a checkpoint. mini: a small one that ships with the"
                        " pack, for images of Mini Flux only."
                    ),
                ),
                io.String.Input(
                    "entities",
                    optional=True,
                    force_input=True,
                    tooltip=(
                        "The entity of each image, one per line, from Split Prompts. Only to check"
                        " their number and to name the images in messages: the masks do not depend"
                        " on it."
                    ),
                ),
            ],
            outputs=[
                io.Mask.Output(
                    "entity_masks",
                    display_name="entity_masks",
                    tooltip=(
                        "One mask per image, in their order: 1 on the entity, 0 elsewhere; all 0"
                        " where none was found."
                    ),
                )
            ],
        )

    @classmethod
    def execute(
        cls, images, segmenter: dict | None = None, entities: str | None = None
    ) -> io.NodeOutput:
        from ..metrics.segment import segment_entities

        choice = dict(segmenter or {})  # the host passes none at all when it does not know the key
        model = load_segmenter(choice.pop("segmenter", None), choice.pop("checkpoint", None))
        lines = lines_of(entities or "")
        return io.NodeOutput(segment_entities(model, images, lines or None, **choice))


def load_segmenter(key: str | None, checkpoint: str | None):
    """The Segmenter that the node's combo chose. ValueError, FileNotFoundError with what to do."""
    from ..metrics.segment import load_sam

    if key == "mini":
        from ..mini.sam import load_mini_sam

        return load_mini_sam()
    if key != "segment anything":
        raise ValueError("The segmenter is not known. Choose one of: segment anything, mini.")
    path = folder_paths.get_full_path(FOLDER, checkpoint or "")
    if path is None or not path.lower().endswith(WEIGHTS):
        raise FileNotFoundError(
            f"There is no Segment Anything checkpoint {checkpoint!r} in models/{FOLDER}. Put"
            " sam_vit_b_01ec64.pth or another of Meta's checkpoints there, press R, and choose it."
            " The segmenter `mini` needs none."
        )
    return load_sam(path)


NODES = [CoupledSegmentEntities]
