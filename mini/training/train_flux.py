"""Stages 2 and 3 of the mini model: flow matching on the host's own Flux class.

Both learn v = noise - x0 (Lipman et al. 2022, logit-normal times as in Esser et al. 2024) with
captions dropped now and then: stage 2 on pictures of half the side, where a step costs a quarter
and positions are stretched as for the whole side, stage 3 on whole ones. Stage 3 makes the guidance
input real as well, as Flux.1-dev's is: at guidance g the target is
noise - x0 + (g - 1) (v_caption - v_empty) of the model itself (model guidance, Tang et al. 2025),
whose mean is classifier-free guidance, in one call.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import comfy.ldm.flux.model
import comfy.model_management
import numpy as np
import torch
from comfy.model_sampling import flux_time_shift
from torch.nn import functional as F

from ..model import FLUX_CONFIG
from ..size import SIZE
from ..text import END, MIN_TOKENS, PAD, UNKNOWN, MiniTextEncoder, MiniTokenizer
from ..world import PLACES, SUBJECTS, caption
from .dataset import NONE, SceneArrays
from .fused import FusedNorm, explicit_attention
from .loop import Budget, Rate, train
from .optimizer import Optimizer
from .partners import Alone, Partners
from .precision import quicker_dtype
from .stand import WEIGHT, StandHead, lead_noise, stand_loss

RATE = Rate(2e-3, power=0.6)
EMPTY_CAPTION = 0.08  # shares of the captions
SUBJECT_ALONE = 0.22
UNKNOWN_WORD = 0.01  # share of the words
LOWEST_GUIDANCE = 1.0
HIGHEST_GUIDANCE = 5.0
NEUTRAL_GUIDANCE = 1.0
GUIDED_SHARE = 0.25  # of a batch
SAMPLER_SHIFT = 1.15  # of the host's schedule for Flux
SMALL_SHIFT = 2.0  # most of the noise levels are above 0.65
TELLING_BLOCK = 1  # of the single blocks
SUBJECT_WEIGHT = 4.0  # extra weight of subject pixels: they are few, and the hardest to learn


class Student(torch.nn.Module):
    """Text encoder (float32) and Flux (in the quicker numbers), trained together, and a head that
    tells from Flux's tokens where the subject stands.
    """

    def __init__(self):
        super().__init__()
        host: Any = comfy.model_management
        host.in_training = True  # the host then takes its differentiable RoPE
        config = {k: v for k, v in FLUX_CONFIG.items() if k != "image_model"}
        self.text = MiniTextEncoder(dtype=torch.float32).requires_grad_(True)
        del self.text.t5xxl.logit_scale  # CLIP's; nothing here uses it
        self.flux = comfy.ldm.flux.model.Flux(operations=torch.nn, dtype=torch.float32, **config)
        self.stand = StandHead(self.flux.hidden_size)
        initialize(self)
        keep_norm_inputs(self)
        self.flux.single_blocks[TELLING_BLOCK].register_forward_hook(self.keep_tokens)
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
            transformer_options={
                "optimized_attention_override": explicit_attention,
                "rope_options": stretch_positions(x_BCHW.shape[-1]),
            },
        )
        return v_BCHW.float()

    def keep_tokens(self, block, args, tokens_BLD):
        self.tokens_BLD = tokens_BLD

    def tell_stand(self, count: int):
        """What the head tells of each of the `count` image tokens of the last forward."""
        return self.stand(self.tokens_BLD[:, -count:].float())


def stretch_positions(side: int) -> dict[str, float]:
    """The host's options with which latents of that side reach as far as whole ones do."""
    scale = SIZE / 8 / side
    shift = (scale - 1) / 2
    return {"scale_x": scale, "scale_y": scale, "shift_x": shift, "shift_y": shift}


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


def draw_times(count: int, side: int) -> torch.Tensor:
    """Noise levels for latents of that side: of whole ones half logit-normal, half as the sampler's
    schedule shifts them. Small ones are there for what high noise decides, where a subject stands.
    """
    if side < SIZE // 8:
        return flux_time_shift(SMALL_SHIFT, 1.0, torch.rand(count)).clamp(1e-3, 1)
    drawn_B = torch.sigmoid(torch.randn(count) + 0.2)
    sampled_B = flux_time_shift(SAMPLER_SHIFT, 1.0, torch.rand(count))
    return torch.where(torch.rand(count) < 0.5, drawn_B, sampled_B).clamp(1e-3, 1)


def cover_cells(masks_NHW: np.ndarray, side: int) -> torch.Tensor:
    """Share of each of side × side cells that the subject covers [N, 1, side, side], float16."""
    parts = [masks_NHW[i : i + 1000] for i in range(0, len(masks_NHW), 1000)]
    shares = [
        F.adaptive_avg_pool2d(torch.from_numpy(np.array(part)).float(), side) for part in parts
    ]
    return (torch.cat(shares) / 255)[:, None].half()


def flux_batches(
    latents_NCHW: torch.Tensor, scenes: SceneArrays, captions: Captions, batch: int, rng
) -> Iterator[tuple]:
    """Latents, token ids of a caption each, how much of each latent pixel the subject covers, and
    how it stands.
    """
    device = torch.get_default_device()
    cover_N1HW = cover_cells(scenes.masks_NHW, latents_NCHW.shape[-1])
    stand_N = torch.from_numpy(np.array(scenes.stand_N)).long()
    while True:
        index = rng.integers(len(latents_NCHW), size=batch)
        x0_BCHW = latents_NCHW[index].to(device).float()
        cover_B1HW = cover_N1HW[index].to(device).float()
        yield x0_BCHW, captions.ids(index).to(device), cover_B1HW, stand_N[index].to(device)


def is_matrix(name: str) -> bool:
    in_block = "_blocks." in name or ".block." in name
    return in_block and "relative" not in name


def train_flux(
    name: str,
    student: Student,
    batches,
    loss_of,
    path: Path,
    budget: Budget,
    partners: Alone | Partners,
) -> None:
    """One stage: `loss_of(student, *batch)`. The moving average is written to `path`."""
    optimizer = Optimizer(student, decay=0.0, is_matrix=is_matrix, memory=0.999, youth=50)
    train(name, optimizer, batches, loss_of, RATE, budget, path, partners)


def weighted_error(v_BCHW, target_BCHW, cover_B1HW):
    """Mean squared error in which the subject's pixels weigh more."""
    weight_B1HW = 1 + SUBJECT_WEIGHT * cover_B1HW
    weight_B1HW = weight_B1HW / weight_B1HW.mean()
    return (weight_B1HW * F.mse_loss(v_BCHW, target_BCHW, reduction="none")).mean()


def flow_loss(student: Student, x0_BCHW, ids_BT, cover_B1HW, stand_B, empty_1T=None):
    """Weighted error of the velocity, with that of what the tokens tell; and alone, for the log.

    `empty_1T`: the token ids of no caption. With them some of the rows are at some guidance, where
    the velocity goes further by what the caption changes.
    """
    sigma_B = draw_times(len(x0_BCHW), x0_BCHW.shape[-1])
    noise_BCHW = lead_noise(torch.randn_like(x0_BCHW), stand_B)
    x_BCHW = torch.lerp(x0_BCHW, noise_BCHW, sigma_B[:, None, None, None])
    guidance_B = torch.full_like(sigma_B, NEUTRAL_GUIDANCE)
    target_BCHW = noise_BCHW - x0_BCHW
    if empty_1T is not None:
        some = slice(round(GUIDED_SHARE * len(x0_BCHW)))
        guidance_B[some].uniform_(LOWEST_GUIDANCE, HIGHEST_GUIDANCE)
        change_BCHW = caption_change(student, x_BCHW[some], sigma_B[some], ids_BT[some], empty_1T)
        further_B111 = (guidance_B[some] - NEUTRAL_GUIDANCE)[:, None, None, None]
        target_BCHW[some] += further_B111 * change_BCHW
    v_BCHW = student(x_BCHW, sigma_B, ids_BT, guidance_B)
    error = weighted_error(v_BCHW, target_BCHW, cover_B1HW)
    cover_BL = F.avg_pool2d(cover_B1HW, 2).flatten(1)
    told = stand_loss(student.tell_stand(cover_BL.shape[1]), stand_B, cover_BL)
    return error + WEIGHT * told, error


@torch.no_grad()
def caption_change(student: Student, x_BCHW, sigma_B, ids_BT, empty_1T):
    """v_caption - v_empty of the student as it is, without guidance."""
    both_ids = torch.cat([ids_BT, empty_1T.expand_as(ids_BT)])
    neutral_B = torch.full((len(both_ids),), NEUTRAL_GUIDANCE)
    v_BCHW = student(x_BCHW.repeat(2, 1, 1, 1), sigma_B.repeat(2), both_ids, neutral_B)
    captioned_BCHW, empty_BCHW = v_BCHW.chunk(2)
    return captioned_BCHW - empty_BCHW
