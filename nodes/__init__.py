"""The pack's nodes, as one extension of the host."""

import folder_paths
from comfy_api.latest import ComfyExtension, io

from ..mini.paths import LORA
from . import (
    alignment,
    background,
    baselines,
    coupling,
    dataset,
    images,
    loaders,
    optimize,
    prompts,
    sampling,
    segment,
    theta,
    theta_files,
)


class CoupledExtension(ComfyExtension):
    async def on_load(self) -> None:
        """The mini model's LoRA stands among the host's own, for its loaders of LoRAs."""
        folder_paths.add_model_folder_path("loras", str(LORA.parent))

    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        rooms = (
            loaders,
            prompts,
            coupling,
            theta,
            theta_files,
            sampling,
            images,
            dataset,
            segment,
            background,
            alignment,
            baselines,
            optimize,
        )
        return [node for room in rooms for node in room.NODES]
