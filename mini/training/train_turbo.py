"""Stage 4: a LoRA with which the mini model paints in four steps, at guidance as distilled.

Plain distillation of the sampling itself: the teacher goes from a noise to its picture in many
steps of the host's own schedule; the student learns to go the same way in four, each time to where
the teacher stood. The way is the same from the same noise, so a mean squared error does not blur.
"""

from collections.abc import Iterator
from pathlib import Path

import comfy.model_sampling
import numpy as np
import torch
from comfy.samplers import calculate_sigmas
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional as F

from ..codec import LATENT_CHANNELS
from ..size import SIZE
from .loop import Budget, Rate, train
from .optimizer import Optimizer
from .partners import Alone, Partners
from .train_flux import Captions, Student

STEPS = 4
TEACHER_STEPS = 16  # a multiple of STEPS
WAYS = 4096
GUIDANCE = 3.5
RANK = 24
BATCH = 8
RATE = Rate(2e-3, warmup=20)
SCHEDULER = "simple"


class Lora(nn.Module):
    """A linear layer, frozen, with a learned change of low rank."""

    def __init__(self, layer: nn.Linear):
        super().__init__()
        self.layer = layer.requires_grad_(False)
        self.down = nn.Linear(layer.in_features, RANK, bias=False)
        self.up = nn.Linear(RANK, layer.out_features, bias=False)
        nn.init.zeros_(self.up.weight)

    def forward(self, x):
        return self.layer(x) + self.up(self.down(x))


def add_loras(module: nn.Module, prefix: str = "") -> dict[str, Lora]:
    """Puts a Lora into the place of each linear layer inside; by name."""
    loras = {}
    for name, child in list(module.named_children()):
        if isinstance(child, nn.Linear):
            loras[prefix + name] = Lora(child)
            setattr(module, name, loras[prefix + name])
        else:
            loras |= add_loras(child, f"{prefix}{name}.")
    return loras


def sample_ways(
    teacher: Student, sigmas: torch.Tensor, captions: Captions, rng, count: int
) -> dict[str, torch.Tensor]:
    """The teacher's ways from noise to picture: latents [count, STEPS + 1, 16, H, W], float16,
    where it stood at each of the student's sigmas, and the token ids of their captions.
    """
    ways, texts = [], []
    for start in range(0, count, BATCH):
        ids_BT = captions.ids(rng.integers(len(captions.subject_N), size=BATCH))
        x_BCHW = torch.randn(BATCH, LATENT_CHANNELS, SIZE // 8, SIZE // 8)
        ways.append(torch.stack(walk(teacher, x_BCHW, ids_BT, sigmas), 1).half())
        texts.append(ids_BT)
        print(f"\rways {start + BATCH}/{count}", end="", flush=True)
    print()
    return {"ways": torch.cat(ways), "ids": torch.cat(texts)}


@torch.no_grad()
def walk(teacher: Student, x_BCHW, ids_BT, sigmas: torch.Tensor) -> list[torch.Tensor]:
    """Euler's steps; x at each of the student's sigmas, the noise first."""
    stands = [x_BCHW]
    guidance_B = torch.full((len(x_BCHW),), GUIDANCE)
    for i in range(TEACHER_STEPS):
        v_BCHW = teacher(x_BCHW, sigmas[i].expand(len(x_BCHW)), ids_BT, guidance_B)
        x_BCHW = x_BCHW + (sigmas[i + 1] - sigmas[i]) * v_BCHW
        if (i + 1) % (TEACHER_STEPS // STEPS) == 0:
            stands.append(x_BCHW)
    return stands


def turbo_batches(ways: dict[str, torch.Tensor], sigmas: torch.Tensor, rng) -> Iterator[tuple]:
    """x at a sigma of the student's, the sigma, the token ids, and the velocity that leads to
    where the teacher stood at the next.
    """
    while True:
        index = torch.from_numpy(rng.integers(len(ways["ids"]), size=BATCH))
        step = torch.from_numpy(rng.integers(STEPS, size=BATCH))
        x_BCHW = ways["ways"][index, step].float()
        next_BCHW = ways["ways"][index, step + 1].float()
        sigma_B, next_B = sigmas[step], sigmas[step + 1]
        v_BCHW = (next_BCHW - x_BCHW) / (next_B - sigma_B)[:, None, None, None]
        yield x_BCHW, sigma_B, ways["ids"][index], v_BCHW


def turbo_loss(student: Student, x_BCHW, sigma_B, ids_BT, target_BCHW):
    """Mean squared error of the velocity, twice: the log shows it too."""
    guidance_B = torch.full_like(sigma_B, GUIDANCE)
    loss = F.mse_loss(student(x_BCHW, sigma_B, ids_BT, guidance_B), target_BCHW)
    return loss, loss


def train_turbo(
    student: Student,
    captions: Captions,
    work: Path,
    budget: Budget,
    partners: Alone | Partners,
    seed: int = 0,
) -> dict[str, torch.Tensor]:
    """The LoRA for a trained student, keys as the host's LoRA loaders read them. `work` keeps the
    teacher's ways, of which each partner samples its share.
    """
    rng = np.random.default_rng([seed, partners.rank])
    torch.manual_seed(seed + partners.rank)
    fine = calculate_sigmas(comfy.model_sampling.ModelSamplingFlux(), SCHEDULER, TEACHER_STEPS)
    coarse = fine[:: TEACHER_STEPS // STEPS]
    path = work / f"ways-{partners.rank}.pt"
    if not path.is_file():
        torch.save(sample_ways(student, fine, captions, rng, WAYS // partners.count), path)
    student.requires_grad_(False)
    torch.manual_seed(seed)  # the first weights are the same for all
    loras = add_loras(student.flux)
    optimizer = Optimizer(student, decay=0.0, memory=0.995)
    batches = turbo_batches(torch.load(path, weights_only=True), coarse, rng)
    state = train("turbo", optimizer, batches, turbo_loss, RATE, budget, partners=partners)
    return {
        f"diffusion_model.{name}.lora_{letter}.weight": state[f"flux.{name}.{part}.weight"]
        for name in loras
        for letter, part in (("A", "down"), ("B", "up"))
    }


def save_lora(lora: dict[str, torch.Tensor], path: Path) -> None:
    """Half precision, as the host's LoraLoaderModelOnly loads it."""
    halves = {name: weight.half().contiguous() for name, weight in lora.items()}
    save_file(halves, path, metadata={"license": "MIT", "source": "mini/training/train_turbo.py"})
