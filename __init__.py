"""Coupled: several pictures with one background and different subjects, for Flux in ComfyUI."""


async def comfy_entrypoint():
    from .nodes import CoupledExtension

    return CoupledExtension()
