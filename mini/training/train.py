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
from .partners import Alone, Partners, run_side_by_side
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
# The stages of flow matching: how much smaller their pictures are, and how many make a batch.
SMALLER = {"small": 2, "flow": 1}
BATCHES = {"small": 24, "flow": 8}
GUIDED = "flow"  # the stage that learns the guidance as well
TURBO = "turbo"


class Stages:
    """The stages of a training in `work`; one whose result lies there is not run again.

    processes: how many train the flow and the LoRA side by side.
    """

    def __init__(
        self,
        work: Path,
        budgets: dict[str, Budget],
        seed: int = 0,
        scenes: int = SCENES,
        processes: int = 1,
    ):
        self.work = work
        self.budgets = budgets
        self.seed = seed
        self.processes = processes
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
        for stage, smaller in SMALLER.items():
            if not self.is_done(stage):
                encode_all(codec, self.scenes, self.work / f"{stage}-latents.pt", smaller)
                self.run(stage)
        export(codec, self.scenes, torch.load(self.work / "flow.pt", weights_only=True))
        if not self.is_done(TURBO):
            self.run(TURBO)

    def run(self, stage: str) -> None:
        """One of the stages that processes can train side by side."""
        if self.processes == 1:
            self.take_part(stage, Alone())
        else:
            run_side_by_side(self.processes, "--only", stage)
        self.finish(stage)

    def take_part(self, stage: str, partners: Alone | Partners) -> None:
        """The same as this process of those that train it."""
        torch.manual_seed(self.seed)
        student = Student()
        resume(student, self.work / "flow.pt")
        captions = Captions(self.scenes, self.seed + partners.rank)
        train_part = self.turbo if stage == TURBO else self.flow
        train_part(stage, student, captions, partners)

    def flow(
        self, stage: str, student: Student, captions: Captions, partners: Alone | Partners
    ) -> None:
        latents_NCHW = torch.load(self.work / f"{stage}-latents.pt", weights_only=True)
        torch.manual_seed(self.seed + partners.rank)
        rng = np.random.default_rng([self.seed, partners.rank])
        batches = flux_batches(latents_NCHW, self.scenes, captions, BATCHES[stage], rng)
        loss_of = flow_loss
        if stage == GUIDED:
            empty_1T = torch.tensor([captions.padded("")], device=torch.get_default_device())
            loss_of = functools.partial(flow_loss, empty_1T=empty_1T)
        path = self.work / "flow.pt"
        train_flux(stage, student, batches, loss_of, path, self.budgets[stage], partners)

    def turbo(
        self, stage: str, student: Student, captions: Captions, partners: Alone | Partners
    ) -> None:
        budget = self.budgets[stage]
        lora = train_turbo(student, captions, self.work, budget, partners, seed=self.seed)
        if partners.rank == 0:
            save_lora(lora, LORA)

    def measuring_model(self, name: str, train_model) -> None:
        if not self.is_done(name):
            path = self.work / f"{name}.pt"
            model = train_model(self.scenes, path, self.budgets[name], seed=self.seed)
            write(name, model.state_dict())
            self.finish(name)


def train_all(stages: Stages) -> None:
    """All stages, each with its budget."""
    torch.manual_seed(stages.seed)
    write_tokenizer()
    stages.flux(stages.codec())
    stages.measuring_model("sam", train_sam)
    stages.measuring_model("clip", train_clip)


@torch.no_grad()
def encode_all(codec: Codec, scenes: SceneArrays, path: Path, smaller: int) -> None:
    """Write latents as the model sees them (mean 0, deviation 1), float16 [N, 16, H, W], of
    pictures made so many times smaller, unless they are there.
    """
    if path.is_file():
        return
    parts = []
    for i in range(0, len(scenes), 128):
        x_BCHW = F.avg_pool2d(pictures(scenes, slice(i, i + 128)), smaller)
        parts.append(((codec.encode(x_BCHW) - FLUX_SHIFT) * FLUX_SCALE).half())
        print(f"\rlatents {i}/{len(scenes)}", end="", flush=True)
    print()
    torch.save(torch.cat(parts), path)


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
