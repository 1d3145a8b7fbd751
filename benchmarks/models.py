"""What a benchmark paints and measures with: the mini models, or a user's own files of Flux.1-dev,
SAM and CLIP.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from coupled.dataset.files import digest, find_file, register_file
from coupled.optimize import ModelMeter

GUIDANCE = 3.5
# Points per side for Segment Entities: on 128 × 128 pixels 8 find what 16 find, in a quarter of
# the time.
MINI_POINTS = 8


@dataclass(frozen=True)
class Bench:
    """The models of a benchmark. `name` stands for all that changes the results, so that results of
    other models are not taken for these.
    """

    name: str
    title: str
    model: object
    clip: object
    vae: object
    latent: dict
    steps: int
    meter: ModelMeter


def load_mini_bench(steps: int) -> Bench:
    """The models that ship with the pack, at the size they know."""
    from coupled.mini.clip import load_mini_clip
    from coupled.mini.model import load_mini
    from coupled.mini.paths import WEIGHTS
    from coupled.mini.sam import load_mini_sam
    from coupled.mini.size import SIZE

    name = f"mini-{steps}-{digest(sorted(WEIGHTS.glob('*.safetensors')))}"
    title = f"Mini Flux, {SIZE} × {SIZE}, {steps} steps"
    meter = ModelMeter(load_mini_sam(), load_mini_clip(), name, MINI_POINTS)
    return Bench(name, title, *load_mini(), empty_latent(SIZE), steps, meter)


@dataclass(frozen=True)
class FluxFiles:
    """Names in the host's model folders, or paths. clip_model: open_clip's name of the model in
    `clip_weights`.
    """

    unet: str
    clip_l: str
    t5: str
    vae: str
    sam: str
    clip_weights: str
    clip_model: str = "ViT-B-32-quickgelu"
    weight_dtype: str = "default"


def load_flux_bench(files: FluxFiles, size: int, steps: int) -> Bench:
    """A user's own models, through the host's own loaders."""
    import nodes as host
    from coupled.metrics.clip import load_open_clip
    from coupled.metrics.segment import load_sam

    sam = find_file("sams", files.sam)
    clip_weights = find_file("open_clip", files.clip_weights)
    unet = register_file("diffusion_models", files.unet)
    vae = register_file("vae", files.vae)
    texts = [register_file("text_encoders", name) for name in (files.clip_l, files.t5)]
    (model,) = host.UNETLoader().load_unet(unet, files.weight_dtype)
    (clip,) = host.DualCLIPLoader().load_clip(*texts, "flux")
    (decoder,) = host.VAELoader().load_vae(vae)
    names = "-".join([Path(unet).stem, files.weight_dtype, sam.stem, clip_weights.stem])
    name = f"flux-{size}-{steps}-{names.replace(' ', '_')}"
    title = f"{Path(unet).name}, {size} × {size}, {steps} steps"
    meter = ModelMeter(load_sam(sam), load_open_clip(files.clip_model, clip_weights), name)
    return Bench(name, title, model, clip, decoder, empty_latent(size), steps, meter)


def empty_latent(size: int) -> dict:
    """Flux's own: 16 channels at an eighth of the size."""
    return {"samples": torch.zeros(1, 16, size // 8, size // 8)}
