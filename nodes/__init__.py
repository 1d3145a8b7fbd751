"""The pack's nodes, as one extension of the host."""

from comfy_api.latest import ComfyExtension, io

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
