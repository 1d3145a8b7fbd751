"""The node that keeps a set as a record of a data set."""

import os
from pathlib import Path

import folder_paths
from comfy_api.latest import io, ui

from .theta_store import check_prefix

FOLDER = "dataset"


class CoupledSaveSet(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="CoupledSaveSet",
            display_name="Save Coupled Set",
            category="coupled/images",
            description=(
                "Keeps a set as one record of a data set in output/dataset: the images, the plate,"
                " the masks, the texts with instructions both ways, and measures. Queue it many"
                " times, then read the shards with webdataset, or run `dev.py dataset finish`."
            ),
            search_aliases=["save dataset", "webdataset", "training pairs", "edit pairs"],
            inputs=[
                io.Image.Input("images", tooltip="The images of the set, from Decode Coupled Set."),
                io.String.Input(
                    "prompts",
                    force_input=True,
                    tooltip="The full prompts, one per line, from Split Prompts.",
                ),
                io.String.Input(
                    "folder",
                    default="my_set",
                    tooltip=(
                        "The data set's folder in output/dataset. What is saved there already"
                        " stays; this set is added."
                    ),
                ),
                io.Int.Input(
                    "sets_per_shard",
                    default=100,
                    min=1,
                    max=100000,
                    tooltip=(
                        "So many sets become one .tar file in shards; until then each waits in a"
                        " small one of its own. One folder keeps one number."
                    ),
                ),
                io.Image.Input(
                    "plate",
                    optional=True,
                    tooltip=(
                        "The background without any subject, from Decode Coupled Set. With it there"
                        " are pairs that insert and remove a subject."
                    ),
                ),
                io.Mask.Input(
                    "entity_masks",
                    optional=True,
                    tooltip="The part of each image that is its own, from Decode Coupled Set.",
                ),
                io.String.Input(
                    "entities",
                    optional=True,
                    force_input=True,
                    tooltip=(
                        "What the instructions call each subject, one per line, from Split Prompts."
                        " Without it they name the prompts."
                    ),
                ),
                io.String.Input(
                    "background",
                    optional=True,
                    force_input=True,
                    tooltip="The text that all images share, from Split Prompts.",
                ),
                io.Float.Input(
                    "f_ti",
                    optional=True,
                    force_input=True,
                    tooltip="From Text Alignment, to be kept with the set.",
                ),
            ],
            outputs=[],
            hidden=[io.Hidden.prompt],
            is_output_node=True,
        )

    @classmethod
    def execute(
        cls,
        images,
        prompts: str,
        folder: str,
        sets_per_shard: int,
        plate=None,
        entity_masks=None,
        entities: str = "",
        background: str = "",
        f_ti: float | None = None,
    ) -> io.NodeOutput:
        from ..dataset.by_hand import HandMade, save_set
        from ..prompts.split import lines_of

        made = HandMade(
            images,
            lines_of(prompts),
            plate,
            entity_masks,
            lines_of(entities or ""),
            background or "",
            {} if f_ti is None else {"f_ti": f_ti},
            cls.hidden.prompt if cls.hidden else None,
        )
        key = save_set(find_folder(folder), made, sets_per_shard)
        return io.NodeOutput(ui=ui.PreviewText(f"Saved {key} in output/{FOLDER}/{folder.strip()}"))


def find_folder(name: str) -> Path:
    """The data set's folder. ValueError if it would not lie in output/dataset."""
    root = os.path.join(folder_paths.get_output_directory(), FOLDER)
    return Path(root, check_prefix(name, root, "folder", f"output/{FOLDER}", "portraits/set1"))


NODES = [CoupledSaveSet]
