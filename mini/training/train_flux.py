"""Stage 2 and 3 of the mini model: flow matching, then guidance distillation, on the host's own
Flux class.

Stage 2 learns v = noise - x0 (Lipman et al. 2022, logit-normal times as in Esser et al. 2024) with
captions dropped now and then. Stage 3 makes the guidance input real, as Flux.1-dev's is: the
student at guidance g learns the frozen teacher's v_empty + g (v_caption - v_empty) in one call.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import comfy.ldm.flux.model
import comfy.model_management
import numpy as np
import torch
from torch.nn import functional as F

from ..model import FLUX_CONFIG
from ..text import END, MIN_TOKENS, PAD, UNKNOWN, MiniTextEncoder, MiniTokenizer
from ..world import PLACES, SUBJECTS, caption
from .dataset import NONE, SceneArrays
from .fused import FusedNorm, explicit_attention
from .loop import Budget, Rate, train
from .optimizer import Optimizer
from .precision import quicker_dtype

EMPTY_CAPTION = 0.08  # shares of the captions
SUBJECT_ALONE = 0.22
UNKNOWN_WORD = 0.01  # share of the words
LOWEST_GUIDANCE = 1.0
HIGHEST_GUIDANCE = 5.0
NEUTRAL_GUIDANCE = 1.0
SUBJECT_WEIGHT = 4.0  # extra weight of subject pixels: they are few, and the hardest to learn


class Student(torch.nn.Module):
    """Text encoder (float32) and Flux (in the quicker numbers), trained together."""

    def __init__(self):
        super().__init__()
        host: Any = comfy.model_management
        host.in_training = True  # the host then takes its differentiable RoPE
        config = {k: v for k, v in FLUX_CONFIG.items() if k != "image_model"}
        self.text = MiniTextEncoder(dtype=torch.float32).requires_grad_(True)
        del self.text.t5xxl.logit_scale  # CLIP's; nothing here uses it
        self.flux = comfy.ldm.flux.model.Flux(operations=torch.nn, dtype=torch.float32, **config)
        initialize(self)
        keep_norm_inputs(self)
        fuse_norms(self.flux)
        self.flux.to(quicker_dtype())

    def forward(self, x_BCHW, sigma_B, ids_BT, guidance_B):
        """Velocity of x at sigma, for token ids and guidance."""
        states_BTD = self.text.t5xxl.transformer(ids_BT, None, dtype=torch.float32)[0]
        end_B = (ids_BT == END).int().argmax(1)
        pooled_BD = self.text.pool(states_BTD[torch.arange(len(end_B)), end_B])
        dtype = quicker_dtype()
        v_BCHW = self.flux._forward(
            x_BCHW.to(dtype),
            sigma_B,
            states_BTD.to(dtype),
            pooled_BD.to(dtype),
            guidance_B,
            transformer_options={"optimized_attention_override": explicit_attention},
        )
        return v_BCHW.float()


def initialize(student: Student) -> None:
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
    transformer: Any = student.text.t5xxl.transformer
    torch.nn.init.normal_(transformer.shared.weight, std=1.0)


def keep_norm_inputs(student: Student) -> None:
    """Norms get copies: the host adds in place, which would spoil what a norm saved for its
    gradient.
    """
    for module in student.modules():
        if type(module).__name__ in ("LayerNorm", "T5LayerNorm"):
            module.register_forward_pre_hook(copy_input)


def copy_input(module: torch.nn.Module, args: tuple) -> tuple:
    return (args[0].clone(),)


def fuse_norms(flux: comfy.ldm.flux.model.Flux) -> None:
    """Put fused norms in the place of those of queries and keys."""
    blocks: list[Any] = list(flux.double_blocks)
    parts: list[Any] = list(flux.single_blocks)
    for block in blocks:
        parts += [block.img_attn, block.txt_attn]
    for part in parts:
        part.norm = FusedNorm(part.norm)


class Captions:
    """Fresh captions of scenes as token ids, in new words each time."""

    def __init__(self, scenes: SceneArrays, seed: int):
        self.rng = np.random.default_rng(seed)
        self.tokenizer = MiniTokenizer().t5xxl.tokenizer
        self.subject_N = np.asarray(scenes.subject_N)
        self.place_N = np.asarray(scenes.place_N)

    def text(self, i: int) -> str:
        subject = None if self.subject_N[i] == NONE else SUBJECTS[self.subject_N[i]]
        draw = self.rng.random()
        if draw < EMPTY_CAPTION:
            return ""
        alone = subject is not None and draw < EMPTY_CAPTION + SUBJECT_ALONE
        return caption(self.rng, subject, None if alone else PLACES[self.place_N[i]]).text

    def ids(self, index) -> torch.Tensor:
        """B × MIN_TOKENS token ids of fresh captions; a caption too long for that is drawn
        again.
        """
        rows = [self.row(i) for i in index]
        lost = self.rng.random((len(rows), MIN_TOKENS)) < UNKNOWN_WORD
        ids = np.array(rows)
        return torch.from_numpy(np.where(lost & (ids > UNKNOWN), UNKNOWN, ids))

    def row(self, i: int) -> list[int]:
        row = self.padded(self.text(i))
        while len(row) > MIN_TOKENS:
            row = self.padded(self.text(i))
        return row

    def padded(self, text: str) -> list[int]:
        ids = self.tokenizer(text)["input_ids"]
        return ids + [PAD] * (MIN_TOKENS - len(ids))


def draw_times(count: int) -> torch.Tensor:
    """Noise levels: logit-normal, with a uniform tenth so that both ends are seen."""
    sigma_B = torch.sigmoid(torch.randn(count) + 0.2)
    return torch.where(torch.rand(count) < 0.1, torch.rand(count), sigma_B).clamp(1e-3, 1)


def loss_weights(scenes: SceneArrays) -> torch.Tensor:
    """Weight of each latent pixel [N, 1, H, W], float16, mean 1."""
    cells = [cell_means(scenes.masks_NHW[i : i + 1000]) for i in range(0, len(scenes), 1000)]
    weights = 1 + SUBJECT_WEIGHT * torch.cat(cells)
    return (weights / weights.mean())[:, None].half()


def cell_means(masks_NHW: np.ndarray) -> torch.Tensor:
    """Share of each 8 × 8 cell that the mask covers, in [0, 1]."""
    return F.avg_pool2d(torch.from_numpy(np.array(masks_NHW)).float() / 255, 8)


def flux_batches(
    latents_NCHW: torch.Tensor, weights_N1HW: torch.Tensor, captions: Captions, batch: int, rng
) -> Iterator[tuple]:
    """Latents, token ids of a caption each, and the weights of the latents' pixels."""
    device = torch.get_default_device()
    while True:
        index = rng.integers(len(latents_NCHW), size=batch)
        x0_BCHW = latents_NCHW[index].to(device).float()
        weight_B1HW = weights_N1HW[index].to(device).float()
        yield x0_BCHW, captions.ids(index).to(device), weight_B1HW


def is_matrix(name: str) -> bool:
    in_block = "_blocks." in name or ".block." in name
    return in_block and "relative" not in name


def train_flux(
    name: str, student: Student, batches, loss_of, path: Path, budget: Budget, rate: float
) -> dict[str, torch.Tensor]:
    """One stage: `loss_of(student, *batch)`. The moving average, also written to `path`."""
    optimizer = Optimizer(student, decay=0.0, is_matrix=is_matrix, memory=0.999, youth=50)
    return train(name, optimizer, batches, loss_of, Rate(rate), budget, path)


def weighted_error(v_BCHW, target_BCHW, weight_B1HW):
    return (weight_B1HW * F.mse_loss(v_BCHW, target_BCHW, reduction="none")).mean()


def flow_loss(student: Student, x0_BCHW, ids_BT, weight_B1HW):
    """Weighted mean squared error of the velocity, twice: the log shows it too."""
    sigma_B = draw_times(len(x0_BCHW))
    noise_BCHW = torch.randn_like(x0_BCHW)
    x_BCHW = torch.lerp(x0_BCHW, noise_BCHW, sigma_B[:, None, None, None])
    v_BCHW = student(x_BCHW, sigma_B, ids_BT, torch.full_like(sigma_B, NEUTRAL_GUIDANCE))
    loss = weighted_error(v_BCHW, noise_BCHW - x0_BCHW, weight_B1HW)
    return loss, loss


class GuidedLoss:
    """Distils the frozen teacher's classifier-free guidance into the guidance input.

    `empty_1T`: the token ids of no caption.
    """

    def __init__(self, teacher: Student, empty_1T: torch.Tensor):
        self.teacher = teacher.requires_grad_(False)
        self.empty_1T = empty_1T

    def __call__(self, student: Student, x0_BCHW, ids_BT, weight_B1HW):
        sigma_B = draw_times(len(x0_BCHW))
        noise_BCHW = torch.randn_like(x0_BCHW)
        x_BCHW = torch.lerp(x0_BCHW, noise_BCHW, sigma_B[:, None, None, None])
        guidance_B = torch.empty_like(sigma_B).uniform_(LOWEST_GUIDANCE, HIGHEST_GUIDANCE)
        target_BCHW = self.guided(x_BCHW, sigma_B, ids_BT, guidance_B)
        v_BCHW = student(x_BCHW, sigma_B, ids_BT, guidance_B)
        loss = weighted_error(v_BCHW, target_BCHW, weight_B1HW)
        return loss, loss

    @torch.no_grad()
    def guided(self, x_BCHW, sigma_B, ids_BT, guidance_B):
        """v_empty + g (v_caption - v_empty), in one call of the teacher."""
        both_ids = torch.cat([ids_BT, self.empty_1T.expand_as(ids_BT)])
        neutral = torch.full((len(both_ids),), NEUTRAL_GUIDANCE)
        v = self.teacher(x_BCHW.repeat(2, 1, 1, 1), sigma_B.repeat(2), both_ids, neutral)
        captioned_BCHW, empty_BCHW = v.chunk(2)
        return torch.lerp(empty_BCHW, captioned_BCHW, guidance_B[:, None, None, None])
