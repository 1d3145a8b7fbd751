"""Makes the mini models from a seed, stage by stage (`python3 dev.py train-mini`).

scenes -> VAE -> latents -> flow matching, on small pictures and then on whole ones -> a LoRA for
four steps: weights/{flux,text,vae}.safetensors, loras/mini_turbo.safetensors; scenes -> Mini SAM,
Mini CLIP, which measure what it paints: weights/{sam,clip}.safetensors.
"""

import functools
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch.nn import functional as F

from ..codec import Codec
from ..paths import LORA, WEIGHTS
from .augment import pictures
from .dataset import SceneArrays, provide_scenes
from .loop import Budget, resume
from .train_clip import train_clip
from .train_codec import FLUX_SCALE, FLUX_SHIFT, train_codec
from .train_flux import (
    Captions,
    Student,
    flow_loss,
    flux_batches,
    train_flux,
)
from .train_sam import train_sam
from .train_turbo import save_lora, train_turbo
from .vocabulary import write_tokenizer

SCENES = 36_000
FLOW_RATE = 2e-3
SMALL_BATCH = 64
FLUX_BATCH = 32


class Stages:
    """The stages of a training in `work`; one whose result lies there is not run again."""

    def __init__(self, work: Path, budgets: dict[str, Budget], seed: int, scenes: int = SCENES):
        self.work = work
        self.budgets = budgets
        self.seed = seed
        self.scenes = provide_scenes(work / "train", scenes, seed)

    def is_done(self, stage: str) -> bool:
        return (self.work / f"{stage}.done").is_file()

    def finish(self, stage: str) -> None:
        (self.work / f"{stage}.done").touch()

    def codec(self) -> Codec:
        path = self.work / "codec.pt"
        if not self.is_done("codec"):
            train_codec(self.scenes, path, self.budgets["codec"], seed=self.seed)
            self.finish("codec")
        codec = Codec()
        resume(codec, path)
        return codec.eval()

    def flux(self, codec: Codec) -> None:
        """Flow matching, small and whole; writes the weights, and then the LoRA's."""
        captions = Captions(self.scenes, self.seed)
        small_NCHW = encode_all(codec, self.scenes, self.work / "small.pt", smaller=2)
        self.flow("small", self.batches(small_NCHW, captions, SMALL_BATCH), flow_loss)
        latents_NCHW = encode_all(codec, self.scenes, self.work / "latents.pt")
        empty_1T = torch.tensor([captions.padded("")], device=torch.get_default_device())
        loss_of = functools.partial(flow_loss, empty_1T=empty_1T)
        self.flow("flow", self.batches(latents_NCHW, captions, FLUX_BATCH), loss_of)
        export(codec, self.scenes, torch.load(self.work / "flow.pt", weights_only=True))
        self.turbo(captions)

    def batches(self, latents_NCHW: torch.Tensor, captions: Captions, batch: int):
        rng = np.random.default_rng(self.seed)
        return flux_batches(latents_NCHW, self.scenes, captions, batch, rng)

    def flow(self, stage: str, batches, loss_of) -> None:
        if self.is_done(stage):
            return
        path = self.work / "flow.pt"
        student = Student()
        resume(student, path)
        train_flux(stage, student, batches, loss_of, path, self.budgets[stage], FLOW_RATE)
        self.finish(stage)

    def turbo(self, captions: Captions) -> None:
        if self.is_done("turbo"):
            return
        student = Student()
        resume(student, self.work / "flow.pt")
        budget = self.budgets["turbo"]
        save_lora(train_turbo(student, captions, self.work, budget, seed=self.seed), LORA)
        self.finish("turbo")

    def measuring_model(self, name: str, train_model) -> None:
        if not self.is_done(name):
            path = self.work / f"{name}.pt"
            model = train_model(self.scenes, path, self.budgets[name], seed=self.seed)
            write(name, model.state_dict())
            self.finish(name)


def train_all(work: Path, budgets: dict[str, Budget], seed: int = 0, scenes: int = SCENES) -> None:
    """All stages, each with its budget."""
    torch.manual_seed(seed)
    write_tokenizer()
    stages = Stages(work, budgets, seed, scenes)
    stages.flux(stages.codec())
    stages.measuring_model("sam", train_sam)
    stages.measuring_model("clip", train_clip)


@torch.no_grad()
def encode_all(codec: Codec, scenes: SceneArrays, path: Path, smaller: int = 1) -> torch.Tensor:
    """Latents as the model sees them (mean 0, deviation 1), float16 [N, 16, H, W], of pictures made
    so many times smaller.
    """
    if not path.is_file():
        parts = []
        for i in range(0, len(scenes), 128):
            x_BCHW = F.avg_pool2d(pictures(scenes, slice(i, i + 128)), smaller)
            latents = codec.encode(x_BCHW)
            parts.append(((latents - FLUX_SHIFT) * FLUX_SCALE).half())
            print(f"\rlatents {i}/{len(scenes)}", end="", flush=True)
        print()
        torch.save(torch.cat(parts), path)
    return torch.load(path, weights_only=True)


@torch.no_grad()
def preview_colors(codec: Codec, scenes: SceneArrays) -> tuple[torch.Tensor, torch.Tensor]:
    """Least-squares RGB in [-1, 1] per latent channel [16, 3] and bias [3], for the host's latent
    preview.
    """
    x_BCHW = pictures(scenes, slice(0, 256))
    latents_BCHW = (codec.encode(x_BCHW) - FLUX_SHIFT) * FLUX_SCALE
    small_BCHW = F.avg_pool2d(x_BCHW, 8)
    latents_SC = latents_BCHW.permute(0, 2, 3, 1).reshape(-1, 16)
    colors_SC = small_BCHW.permute(0, 2, 3, 1).reshape(-1, 3)
    with_bias_SC = torch.cat([latents_SC, torch.ones(len(latents_SC), 1)], 1)
    solution = torch.linalg.lstsq(with_bias_SC, colors_SC).solution
    return solution[:16], solution[16]


def export(codec: Codec, scenes: SceneArrays, state: dict[str, torch.Tensor]) -> None:
    """Write weights/{flux,text,vae}.safetensors."""
    factors, bias = preview_colors(codec, scenes)
    write("vae", {**codec.state_dict(), "preview.factors": factors, "preview.bias": bias})
    for part in ("flux.", "text."):
        inside = {k.removeprefix(part): v for k, v in state.items() if k.startswith(part)}
        write(part.removesuffix("."), inside)


def write(name: str, weights: dict[str, torch.Tensor]) -> None:
    """Write weights/<name>.safetensors in half precision."""
    WEIGHTS.mkdir(exist_ok=True)
    halves = {k: v.half().contiguous() for k, v in weights.items()}
    about = {"license": "MIT", "source": "mini/training/train.py"}
    save_file(halves, WEIGHTS / f"{name}.safetensors", metadata=about)
