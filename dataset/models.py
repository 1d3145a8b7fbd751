"""The models that a data set is made with, loaded once in each process."""

import dataclasses
from pathlib import Path
from typing import Any

from ..mini.paths import LORA
from .files import digest, find_file, register_file
from .settings import Models, Settings

FOLDERS = {
    "unet": "diffusion_models",
    "clip_l": "text_encoders",
    "t5": "text_encoders",
    "vae": "vae",
    "lora": "loras",
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
    found = {key: [find_model(names, key)] for key in FOLDERS if getattr(names, key)}
    if names.mini:
        from ..mini.paths import WEIGHTS

        found = {"mini": sorted(WEIGHTS.glob("*.safetensors")), **found}
    return found


def find_model(names: Models, key: str) -> Path:
    name = getattr(names, key)
    if key == "lora" and (LORA.parent / name).is_file():
        return LORA.parent / name
    return find_file(FOLDERS[key], name)


def hash_models(names: Models) -> tuple[tuple[str, str], ...]:
    """(what, eight letters of its contents' SHA-256) of each model."""
    return tuple((key, digest(files)) for key, files in find_models(names).items())


def describe_files(settings: Settings) -> dict[str, dict[str, str]]:
    """For JSON: the files that a set is made with, by name and contents."""
    return {
        key: {"name": name_of(settings.models, key), "sha256": digits}
        for key, digits in settings.hashes
    }


def name_of(names: Models, key: str) -> str:
    return getattr(names, key) if key in FOLDERS else names.name


def load_models(names: Models) -> Loaded:
    """Through the host's own loaders.

    FileNotFoundError if a file is missing; ValueError if the LoRA is of another model.
    """
    loaded = load_mini_models() if names.mini else load_flux(names)
    judge = load_judge(names) if names.clip_weights else loaded.judge
    return dataclasses.replace(loaded, model=add_lora(loaded.model, names), judge=judge)


def load_mini_models() -> Loaded:
    from ..mini.clip import load_mini_clip
    from ..mini.model import load_mini

    return Loaded(*load_mini(), load_mini_clip())


def load_flux(names: Models) -> Loaded:
    import nodes as host

    unet, vae = (register_file(FOLDERS[key], getattr(names, key)) for key in ("unet", "vae"))
    texts = [register_file(FOLDERS[key], getattr(names, key)) for key in ("clip_l", "t5")]
    (model,) = host.UNETLoader().load_unet(unet, names.weight_dtype)
    (clip,) = host.DualCLIPLoader().load_clip(*texts, "flux")
    (vae,) = host.VAELoader().load_vae(vae)
    return Loaded(model, clip, vae)


def add_lora(model: Any, names: Models) -> Any:
    """The model with its LoRA, if one is named."""
    if not names.lora:
        return model
    import comfy.sd

    from ..metrics.weights import read_weights

    weights = read_weights(find_model(names, "lora"))
    patched, _ = comfy.sd.load_lora_for_models(model, None, weights, names.lora_strength, 0)
    if len(patched.patches) == len(model.patches):
        raise ValueError(
            f"No weight of the LoRA {names.lora} fits {names.name}: it was trained for another"
            " model."
        )
    return patched


def load_judge(names: Models) -> Any:
    """The CLIP that measures."""
    from ..metrics.clip import load_open_clip

    return load_open_clip(names.clip_model, find_model(names, "clip_weights"))
