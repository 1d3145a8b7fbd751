"""Stage 2 and 3 of the mini model: flow matching, then guidance distillation, on the host's own Flux class.

Stage 2 learns v = noise - x0 (Lipman et al. 2022, logit-normal times as in Esser et al. 2024) with captions dropped
now and then. Stage 3 makes the guidance input real, as Flux.1-dev's is: the student at guidance g learns the frozen
teacher's v_empty + g (v_caption - v_empty) in one call.
"""

import copy
import time
from dataclasses import dataclass
from pathlib import Path

import comfy.ldm.flux.model
import comfy.model_management
import comfy.ops
import numpy as np
import torch
from torch.nn import functional as F

from .dataset import NONE, SceneArrays
from .model import FLUX_CONFIG
from .text import MIN_TOKENS, UNKNOWN, MiniTextEncoder, MiniTokenizer
from .world import PLACES, SUBJECTS, caption

EMPTY_CAPTION, SUBJECT_ALONE, UNKNOWN_WORD = 0.08, 0.22, 0.01
GUIDANCE = (1.0, 5.0)
NEUTRAL_GUIDANCE = 1.0


class Student(torch.nn.Module):
    """Text encoder and Flux, trained together."""

    def __init__(self):
        super().__init__()
        comfy.model_management.in_training = True  # the host then takes its differentiable RoPE
        config = {k: v for k, v in FLUX_CONFIG.items() if k != "image_model"}
        self.text = MiniTextEncoder(dtype=torch.float32).requires_grad_(True)
        self.flux = comfy.ldm.flux.model.Flux(operations=torch.nn, dtype=torch.float32, **config)
        initialise(self)
        for module in self.modules():  # the host adds in place, which would spoil what a norm saved for its gradient
            if type(module).__name__ in ("LayerNorm", "T5LayerNorm"):
                module.register_forward_pre_hook(lambda _, args: (args[0].clone(),))

    def forward(self, x, sigma, ids_BT, guidance):
        """Velocity of x [B, 16, H, W] at sigma [B], for token ids [B, T] and guidance [B]."""
        states_BTD = self.text.t5xxl.transformer(ids_BT, None, dtype=torch.float32)[0]
        end = (ids_BT == 1).int().argmax(1)
        pooled = self.text.pool(states_BTD[torch.arange(len(end)), end])
        return self.flux._forward(x, sigma, states_BTD, pooled, guidance)


def initialise(student: Student) -> None:
    """Xavier weights; modulations and the last layer start at zero, so that every block starts as the identity."""
    for name, p in student.named_parameters():
        if p.ndim >= 2:
            torch.nn.init.xavier_uniform_(p)
        elif name.endswith("bias"):
            torch.nn.init.zeros_(p)
        else:
            torch.nn.init.ones_(p)
        if "_mod.lin" in name or "modulation" in name or "final_layer.linear" in name:
            torch.nn.init.zeros_(p)
    torch.nn.init.normal_(student.text.t5xxl.transformer.shared.weight, std=1.0)


class Captions:
    """Fresh captions of scenes as token ids, in new words each time."""

    def __init__(self, scenes: SceneArrays, seed: int):
        self.rng, self.tokenizer = np.random.default_rng(seed), MiniTokenizer().t5xxl.tokenizer
        self.subject, self.place = np.asarray(scenes.subject_N), np.asarray(scenes.place_N)

    def text(self, i: int) -> str:
        subject = None if self.subject[i] == NONE else SUBJECTS[self.subject[i]]
        draw = self.rng.random()
        if draw < EMPTY_CAPTION:
            return ""
        alone = subject is not None and draw < EMPTY_CAPTION + SUBJECT_ALONE
        return caption(self.rng, subject, None if alone else PLACES[self.place[i]]).text

    def ids(self, index) -> torch.Tensor:
        """B × T token ids, padded to MIN_TOKENS or the longest."""
        return self.encode([self.text(i) for i in index])

    def encode(self, texts: list[str]) -> torch.Tensor:
        rows = self.tokenizer(texts)["input_ids"]
        ids = np.zeros((len(rows), max(MIN_TOKENS, *map(len, rows))), np.int64)
        for i, row in enumerate(rows):
            ids[i, :len(row)] = row
        lost = (self.rng.random(ids.shape) < UNKNOWN_WORD) & (ids > UNKNOWN)
        return torch.from_numpy(np.where(lost, UNKNOWN, ids))


def optimizers(student: Student, rate: float) -> list[torch.optim.Optimizer]:
    """Muon for the blocks' matrices, AdamW for all else."""
    inside = lambda n: "_blocks." in n or ".block." in n  # noqa: E731
    matrices = [p for n, p in student.named_parameters() if p.ndim == 2 and inside(n) and "relative" not in n]
    chosen = {id(p) for p in matrices}
    rest = [p for p in student.parameters() if id(p) not in chosen and p.requires_grad]
    return [torch.optim.Muon(matrices, lr=rate, weight_decay=0.01, adjust_lr_fn="match_rms_adamw"),
            torch.optim.AdamW(rest, lr=rate, betas=(0.9, 0.98), weight_decay=0.0)]


def draw_times(count: int) -> torch.Tensor:
    """Noise levels: logit-normal, with a uniform tenth so that both ends are seen."""
    sigma = torch.sigmoid(torch.randn(count) + 0.2)
    return torch.where(torch.rand(count) < 0.1, torch.rand(count), sigma).clamp(1e-3, 1)


@dataclass
class Run:
    """One stage's training run; `losses` maps (student, teacher, x0, ids) to a loss."""

    student: Student
    latents: torch.Tensor
    captions: Captions
    path: Path
    minutes: float
    batch: int = 64
    rate: float = 2e-3
    warmup: int = 200
    start_decay: float = 0.0

    def train(self, loss_fn, name: str) -> Student:
        """Train for `minutes`; returns the exponential moving average, written to `path` as it goes."""
        average = copy.deepcopy(self.student).requires_grad_(False)
        opts, start, step, seen = optimizers(self.student, self.rate), time.time(), 0, 0.0
        while (progress := (time.time() - start) / (60 * self.minutes)) < 1:
            scale = min(1, step / self.warmup) * min(1, (1 - progress) / (1 - self.start_decay))
            index = torch.randint(len(self.latents), (self.batch,)).numpy()
            loss = loss_fn(self.student, self.latents[index].float(), self.captions.ids(index))
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.student.parameters(), 1.0)
            for opt in opts:
                for group in opt.param_groups:
                    group["lr"] = self.rate * scale
                opt.step()
                opt.zero_grad(set_to_none=True)
            step += 1
            seen = loss.item() if step == 1 else 0.98 * seen + 0.02 * loss.item()
            follow(average, self.student, min(0.999, step / (step + 50)))
            if step % 100 == 0:
                rate = step * self.batch / (time.time() - start)
                print(f"{name} step {step} loss {seen:.4f} {rate:.0f} img/s {progress:.1%}", flush=True)
            if step % 500 == 0:
                torch.save(average.state_dict(), self.path)
        torch.save(average.state_dict(), self.path)
        return average


@torch.no_grad()
def follow(average: torch.nn.Module, student: torch.nn.Module, decay: float) -> None:
    torch._foreach_lerp_(list(average.parameters()), list(student.parameters()), 1 - decay)


def flow_loss(student: Student, x0, ids):
    """Mean squared error of the velocity."""
    sigma, noise = draw_times(len(x0)), torch.randn_like(x0)
    x = torch.lerp(x0, noise, sigma[:, None, None, None])
    with torch.autocast("cpu", torch.bfloat16):
        v = student(x, sigma, ids, torch.full((len(x0),), NEUTRAL_GUIDANCE))
    return F.mse_loss(v.float(), noise - x0)


def guided_loss(teacher: Student, empty: torch.Tensor):
    """Loss that distils classifier-free guidance of the frozen teacher into the student's guidance input."""

    def loss(student: Student, x0, ids):
        sigma, noise, count = draw_times(len(x0)), torch.randn_like(x0), len(x0)
        x = torch.lerp(x0, noise, sigma[:, None, None, None])
        guidance = torch.empty(count).uniform_(*GUIDANCE)
        with torch.autocast("cpu", torch.bfloat16):
            with torch.no_grad():
                both = torch.cat([ids, empty.expand(count, -1)[:, :ids.shape[1]]]) if ids.shape[1] == empty.shape[1] \
                    else torch.cat([ids, F.pad(empty, (0, ids.shape[1] - empty.shape[1])).expand(count, -1)])
                v = teacher(x.repeat(2, 1, 1, 1), sigma.repeat(2), both, torch.full((2 * count,), NEUTRAL_GUIDANCE)).float()
                conditional, unconditional = v.chunk(2)
                target = torch.lerp(unconditional, conditional, guidance[:, None, None, None])
            v = student(x, sigma, ids, guidance)
        return F.mse_loss(v.float(), target)

    return loss
