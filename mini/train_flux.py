"""Stage 2 and 3 of the mini model: flow matching, then guidance distillation, on the host's own
Flux class.

Stage 2 learns v = noise - x0 (Lipman et al. 2022, logit-normal times as in Esser et al. 2024) with
captions dropped now and then. Stage 3 makes the guidance input real, as Flux.1-dev's is: the
student at guidance g learns the frozen teacher's v_empty + g (v_caption - v_empty) in one call.
"""

import time
from dataclasses import dataclass
from pathlib import Path

import comfy.ldm.flux.model
import comfy.model_management
import numpy as np
import torch
from torch.nn import functional as F

from .dataset import NONE, SceneArrays
from .fused import FusedNorm, explicit_attention
from .model import FLUX_CONFIG
from .text import END, MIN_TOKENS, PAD, UNKNOWN, MiniTextEncoder, MiniTokenizer
from .world import PLACES, SUBJECTS, caption

EMPTY_CAPTION, SUBJECT_ALONE, UNKNOWN_WORD = 0.08, 0.22, 0.01
GUIDANCE = (1.0, 5.0)
NEUTRAL_GUIDANCE = 1.0
SUBJECT_WEIGHT = 4.0  # more that a subject's pixels count: they are few, and the hardest to learn


class Student(torch.nn.Module):
    """Text encoder (float32) and Flux (bfloat16, for speed), trained together."""

    def __init__(self):
        super().__init__()
        comfy.model_management.in_training = True  # the host then takes its differentiable RoPE
        config = {k: v for k, v in FLUX_CONFIG.items() if k != "image_model"}
        self.text = MiniTextEncoder(dtype=torch.float32).requires_grad_(True)
        self.text.t5xxl.logit_scale.requires_grad_(False)  # not used
        self.flux = comfy.ldm.flux.model.Flux(operations=torch.nn, dtype=torch.float32, **config)
        initialise(self)
        for module in (
            self.modules()
        ):  # the host adds in place, which would spoil what a norm saved for its gradient
            if type(module).__name__ in ("LayerNorm", "T5LayerNorm"):
                module.register_forward_pre_hook(lambda _, args: (args[0].clone(),))
        attentions = [
            part for block in self.flux.double_blocks for part in (block.img_attn, block.txt_attn)
        ]
        for part in (*attentions, *self.flux.single_blocks):
            part.norm = FusedNorm(part.norm)
        self.flux.bfloat16()

    def forward(self, x, sigma, ids_BT, guidance):
        """Velocity of x [B, 16, H, W] at sigma [B], for token ids [B, T] and guidance [B]."""
        states_BTD = self.text.t5xxl.transformer(ids_BT, None, dtype=torch.float32)[0]
        end = (ids_BT == END).int().argmax(1)
        pooled = self.text.pool(states_BTD[torch.arange(len(end)), end])
        x, states_BTD, pooled = x.bfloat16(), states_BTD.bfloat16(), pooled.bfloat16()
        options = {"optimized_attention_override": explicit_attention}
        return self.flux._forward(
            x, sigma, states_BTD, pooled, guidance, transformer_options=options
        ).float()


def initialise(student: Student) -> None:
    """Xavier weights; modulations and the last layer start at zero, so that every block starts as
    the identity.
    """
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
        """B × MIN_TOKENS token ids of fresh captions; a caption too long for that is drawn
        again.
        """
        rows = [self.row(i) for i in index]
        lost = self.rng.random((len(rows), MIN_TOKENS)) < UNKNOWN_WORD
        ids = np.array(rows)
        return torch.from_numpy(np.where(lost & (ids > UNKNOWN), UNKNOWN, ids))

    def row(self, i: int) -> list[int]:
        while len(row := self.padded(self.text(i))) > MIN_TOKENS:
            pass
        return row

    def padded(self, text: str) -> list[int]:
        ids = self.tokenizer(text)["input_ids"]
        return ids + [PAD] * (MIN_TOKENS - len(ids))


class Masters:
    """float32 copies of the weights, which the optimizers move: Muon for the blocks' matrices,
    AdamW for all else.
    """

    def __init__(self, student: Student, rate: float):
        named = [(n, p) for n, p in student.named_parameters() if p.requires_grad]
        self.rate, self.weights = rate, [p for _, p in named]
        self.masters = [p.detach().float().clone().requires_grad_(True) for p in self.weights]
        blocks = [
            ("_blocks." in n or ".block." in n) and "relative" not in n and p.ndim == 2
            for n, p in named
        ]
        matrices = [m for m, block in zip(self.masters, blocks, strict=True) if block]
        rest = [m for m, block in zip(self.masters, blocks, strict=True) if not block]
        self.optimizers = [
            torch.optim.Muon(matrices, lr=rate, weight_decay=0.01, adjust_lr_fn="match_rms_adamw"),
            torch.optim.AdamW(rest, lr=rate, betas=(0.9, 0.98), weight_decay=0.0),
        ]

    def step(self, scale: float) -> None:
        """One step at `scale` times the learning rate; the gradients are spent."""
        for master, weight in zip(self.masters, self.weights, strict=True):
            master.grad, weight.grad = weight.grad.float(), None
        torch.nn.utils.clip_grad_norm_(self.masters, 1.0)
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = self.rate * scale
            optimizer.step()
        with torch.no_grad():
            torch._foreach_copy_(self.weights, self.masters)


def draw_times(count: int) -> torch.Tensor:
    """Noise levels: logit-normal, with a uniform tenth so that both ends are seen."""
    sigma = torch.sigmoid(torch.randn(count) + 0.2)
    return torch.where(torch.rand(count) < 0.1, torch.rand(count), sigma).clamp(1e-3, 1)


def loss_weights(scenes: SceneArrays) -> torch.Tensor:
    """Weight of each latent pixel [N, 1, H, W], float16, mean 1."""
    cells = [cell_means(scenes.masks_NHW[i : i + 1000]) for i in range(0, len(scenes), 1000)]
    weights = 1 + SUBJECT_WEIGHT * torch.cat(cells)
    return (weights / weights.mean())[:, None].half()


def cell_means(masks_NHW: np.ndarray) -> torch.Tensor:
    """Share of each 8 × 8 cell that the mask covers, in [0, 1]."""
    return F.avg_pool2d(torch.from_numpy(np.array(masks_NHW)).float() / 255, 8)


@dataclass
class Run:
    """One stage: `train` takes a loss of (student, x0 [B, 16, H, W], ids [B, T], weight [B, 1, H,
    W]).
    """

    student: Student
    latents: torch.Tensor
    weights: torch.Tensor
    captions: Captions
    path: Path
    minutes: float
    batch: int = 48
    rate: float = 2e-3
    warmup: int = 100
    seed: int = 0

    def train(self, loss_of, name: str) -> dict[str, torch.Tensor]:
        """Train for `minutes`; returns the moving average of the weights, also written to `path`
        now and then.
        """
        masters = Masters(self.student, self.rate)
        average = [m.detach().clone() for m in masters.masters]
        sampler, device = np.random.default_rng(self.seed), torch.get_default_device()
        start, step, seen = time.time(), 0, None
        while (progress := (time.time() - start) / (60 * self.minutes)) < 1:
            index = sampler.integers(len(self.latents), size=self.batch)
            x0, weight = (array[index].to(device).float() for array in (self.latents, self.weights))
            loss = loss_of(self.student, x0, self.captions.ids(index).to(device), weight)
            loss.backward()
            masters.step(min(1, step / self.warmup) * (1 - progress))
            step, seen = step + 1, loss.item() if seen is None else 0.98 * seen + 0.02 * loss.item()
            torch._foreach_lerp_(
                average, [m.detach() for m in masters.masters], 1 - min(0.999, step / (step + 50))
            )
            if step % 100 == 0:
                rate = step * self.batch / (time.time() - start)
                print(
                    f"{name} step {step} loss {seen:.4f} {rate:.0f} img/s {progress:.1%}",
                    flush=True,
                )
            if step % 400 == 0:
                self.save(average)
        return self.save(average)

    def save(self, average) -> dict[str, torch.Tensor]:
        names = [n for n, p in self.student.named_parameters() if p.requires_grad]
        state = {n: a.cpu() for n, a in zip(names, average, strict=True)}
        torch.save(state, self.path)
        return state


def weighted_error(v, target, weight):
    return (weight * F.mse_loss(v, target, reduction="none")).mean()


def flow_loss(student: Student, x0, ids, weight):
    """Weighted mean squared error of the velocity."""
    sigma, noise = draw_times(len(x0)), torch.randn_like(x0)
    v = student(
        torch.lerp(x0, noise, sigma[:, None, None, None]),
        sigma,
        ids,
        torch.full_like(sigma, NEUTRAL_GUIDANCE),
    )
    return weighted_error(v, noise - x0, weight)


def guided_loss(teacher: Student, empty: torch.Tensor):
    """Loss that distils the frozen teacher's classifier-free guidance into the guidance input;
    `empty`: ids [1, T].
    """

    def loss(student: Student, x0, ids, weight):
        sigma, noise = draw_times(len(x0)), torch.randn_like(x0)
        x, guidance = (
            torch.lerp(x0, noise, sigma[:, None, None, None]),
            torch.empty_like(sigma).uniform_(*GUIDANCE),
        )
        with torch.no_grad():
            both = torch.cat([ids, empty.expand_as(ids)])
            v = teacher(
                x.repeat(2, 1, 1, 1),
                sigma.repeat(2),
                both,
                torch.full((2 * len(x),), NEUTRAL_GUIDANCE),
            )
            conditional, unconditional = v.chunk(2)
            target = torch.lerp(unconditional, conditional, guidance[:, None, None, None])
        return weighted_error(student(x, sigma, ids, guidance), target, weight)

    return loss
