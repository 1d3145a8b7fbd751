"""The models that a data set is made with, loaded once in each process."""

import dataclasses
from pathlib import Path
from typing import Any

from .files import digest, find_file, register_file
from .settings import Models

FOLDERS = {
    "unet": "diffusion_models",
    "clip_l": "text_encoders",
    "t5": "text_encoders",
    "vae": "vae",
    "clip_weights": "open_clip",
}


@dataclasses.dataclass(frozen=True)
class Loaded:
    """The host's MODEL, CLIP and VAE, and a ClipModel to measure with where one is at hand."""

    model: Any
    clip: Any
    vae: Any
    judge: Any = None


def find_models(names: Models) -> dict[str, list[Path]]:
    """The files behind the names. FileNotFoundError if one is missing."""
    names.check()
    if names.mini:
        from ..mini.paths import WEIGHTS

        return {"mini": sorted(WEIGHTS.glob("*.safetensors"))}
    found = {key: getattr(names, key) for key in FOLDERS}
    return {key: [find_file(FOLDERS[key], name)] for key, name in found.items() if name}


def hash_models(names: Models) -> tuple[tuple[str, str], ...]:
    """(what, eight letters of its contents' SHA-256) of each model."""
    return tuple((key, digest(files)) for key, files in find_models(names).items())


def load_models(names: Models) -> Loaded:
    """Through the host's own loaders. FileNotFoundError if a file is missing."""
    if names.mini:
        from ..mini.clip import load_mini_clip
        from ..mini.model import load_mini

        return Loaded(*load_mini(), load_mini_clip())
    import nodes as host

    unet, vae = (register_file(FOLDERS[key], getattr(names, key)) for key in ("unet", "vae"))
    texts = [register_file(FOLDERS[key], getattr(names, key)) for key in ("clip_l", "t5")]
    (model,) = host.UNETLoader().load_unet(unet, names.weight_dtype)
    (clip,) = host.DualCLIPLoader().load_clip(*texts, "flux")
    (vae,) = host.VAELoader().load_vae(vae)
    return Loaded(model, clip, vae, load_judge(names))


def load_judge(names: Models) -> Any:
    """The CLIP that measures; None without weights of one."""
    if not names.clip_weights:
        return None
    from ..metrics.clip import load_open_clip

    return load_open_clip(names.clip_model, find_file(FOLDERS["clip_weights"], names.clip_weights))
