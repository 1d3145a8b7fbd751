"""Coupled: several pictures with one background and different subjects, for Flux in ComfyUI."""

WEB_DIRECTORY = "./web"  # the help pages, docs/<node id>.md


async def comfy_entrypoint():
    from .nodes import CoupledExtension

    return CoupledExtension()
