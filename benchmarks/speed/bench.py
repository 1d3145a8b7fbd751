"""A Flux.1 of random weights in the host's own classes, and timed runs of it: stock, and coupled in
every mode.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import comfy.model_management
import comfy.model_patcher
import comfy.sample
import comfy.supported_models
import torch

from coupled.attention import couple_conditioning
from coupled.sampling import couple, sample_set
from coupled.schedules import ThetaSchedule

# As in Flux.1.
T5_WIDTH = 4096
POOLED_WIDTH = 768
CHANNELS = 16
HEAD_WIDTH = 128


@dataclass(frozen=True)
class Size:
    """A Flux: its width, its blocks, its tokens of text; and how much of it is timed."""

    heads: int
    double: int
    single: int
    dtype: torch.dtype
    text: int = 256
    image_tokens: int = 4096
    repeats: int = 5
    run: tuple[int, int] = (1024, 10)  # image tokens and steps of a whole run
    growth_tokens: tuple[int, ...] = (256, 1024, 2304, 4096)
    growth_images: tuple[int, ...] = (1, 2, 4, 8, 16)
    sets: tuple[int, ...] = (2, 4, 8, 16)  # images of sets of which the regions are computed

    @property
    def width(self) -> int:
        return self.heads * HEAD_WIDTH

    @property
    def weight_bytes(self) -> int:
        """Of the blocks: two streams of attention, MLP and modulation in a double one, one in a
        single one.
        """
        return (36 * self.double + 15 * self.single) * self.width**2 * self.dtype.itemsize

    def flops(self, n: int, image_tokens: int, texts: int) -> float:
        """Of one step: matrices over all tokens, attention of all tokens but one text over the
        other.
        """
        tokens = image_tokens + self.text * texts
        pairs = tokens**2 - (2 * self.text**2 if texts == 2 else 0)
        return n * self.flops_of(tokens, pairs)

    def flops_of(self, tokens: float, pairs: float) -> float:
        """Of one step with so many tokens; pairs: of one that attends and one it attends to."""
        linear = 24 * self.width**2 * tokens
        return (self.double + self.single) * (linear + 4 * self.width * pairs)


FLUX_DEV = Size(24, 19, 38, torch.bfloat16, run=(4096, 50))
ON_CPU = Size(4, 1, 2, torch.float32)  # one part in 19 of Flux.1's blocks, a sixth of its width
QUICK = Size(1, 1, 1, torch.float32, 8, 64, 2, (64, 4), (4, 16), (1, 2), (2,))


class Bench:
    """The model, random texts, and runs of it that give seconds."""

    def __init__(self, size: Size):
        self.size = size
        self.device = comfy.model_management.get_torch_device()
        self.model = make_random_flux(size)
        generator = torch.Generator().manual_seed(0)
        count = max(size.growth_images) + 1
        self.texts = [make_random_text(size, generator) for _ in range(count)]

    def stock(
        self, n: int, image_tokens: int, steps: int = 1, callback: Callable | None = None
    ) -> None:
        """n images of n texts in one batch, as the host's KSampler makes them."""
        rows = self.texts[1 : n + 1]
        pooled = torch.cat([values["pooled_output"] for ((_, values),) in rows])
        positive = [
            [
                torch.cat([context for ((context, _),) in rows]),
                {"pooled_output": pooled, "guidance": 3.5},
            ]
        ]
        latent = make_latent(n, image_tokens)
        sample(self.model, positive, self.texts[0], latent, steps, callback)

    def coupled(
        self,
        n: int,
        image_tokens: int,
        theta: ThetaSchedule,
        mode: str,
        steps: int = 1,
        callback: Callable | None = None,
        **settings,
    ) -> None:
        """settings: further ones of `couple`."""
        positive = couple_conditioning(self.texts[0], self.texts[1 : n + 1], guidance=3.5)
        latent = {"samples": make_latent(1, image_tokens)}
        model = couple(self.model, theta, mode, **settings)
        sample_set(model, positive, latent, 1, steps, images_per_pass=n, callback=callback)


def sample(
    model,
    positive: list,
    negative: list,
    latent: torch.Tensor,
    steps: int = 1,
    callback: Callable | None = None,
) -> None:
    """As the host's KSampler, every row from one noise."""
    noise = torch.randn_like(latent[:1]).expand_as(latent).clone()
    comfy.sample.sample(
        model,
        noise,
        steps,
        1.0,
        "euler",
        "simple",
        positive,
        negative,
        latent,
        disable_pbar=True,
        seed=1,
        callback=callback,
    )


def time_run(run: Callable[[], None]) -> float:
    """Seconds."""
    started = time.perf_counter()
    run()
    comfy.model_management.synchronize()
    return time.perf_counter() - started


def draw_region(n: int, side: int, share: float) -> torch.Tensor:
    """A square amid n squares of `side` tokens, [n, side, side]."""
    region = torch.zeros(n, side, side)
    edge = round(side * share**0.5)
    start = (side - edge) // 2
    region[:, start : start + edge, start : start + edge] = 1
    return region


class Enough(Exception):
    """Ends a run of which only some steps are wanted."""


def time_second_step(run: Callable[[Callable], None]) -> float:
    """Seconds between the first and the second step of a run, which is handed a callback."""
    stamps: list[float] = []

    def step_done(*_) -> None:
        comfy.model_management.synchronize()
        stamps.append(time.perf_counter())
        if len(stamps) == 2:
            raise Enough

    with suppress(Enough):
        run(step_done)
    return stamps[1] - stamps[0]


def make_random_text(size: Size, generator: torch.Generator) -> list:
    """A conditioning of one text."""
    context_BLC = torch.randn(1, size.text, T5_WIDTH, generator=generator)
    pooled_BC = torch.randn(1, POOLED_WIDTH, generator=generator)
    return [[context_BLC, {"pooled_output": pooled_BC, "guidance": 3.5}]]


def make_random_flux(size: Size) -> comfy.model_patcher.ModelPatcher:
    """Flux.1's architecture at a size."""
    config = {
        "image_model": "flux",
        "in_channels": CHANNELS,
        "out_channels": CHANNELS,
        "vec_in_dim": POOLED_WIDTH,
        "context_in_dim": T5_WIDTH,
        "hidden_size": size.width,
        "mlp_ratio": 4.0,
        "num_heads": size.heads,
        "depth": size.double,
        "depth_single_blocks": size.single,
        "axes_dim": [16, 56, 56],
        "theta": 10000,
        "patch_size": 2,
        "qkv_bias": True,
        "guidance_embed": True,
        "txt_ids_dims": [],
    }
    return make_random_model("Flux", config, size.dtype)


def make_random_model(
    kind: str, config: dict, dtype: torch.dtype
) -> comfy.model_patcher.ModelPatcher:
    """A model of a class of the host's supported_models, its weights small random numbers."""
    device = comfy.model_management.get_torch_device()
    config = {**config, "dtype": dtype}
    settings = getattr(comfy.supported_models, kind)(config)
    settings.unet_config.update(config)  # not the sizes that the class knows
    model = settings.get_model({}, "", device)
    for weight in model.diffusion_model.to(device).parameters():
        torch.nn.init.normal_(weight, std=0.02)
    return comfy.model_patcher.ModelPatcher(model, load_device=device, offload_device=device)


def make_latent(n: int, image_tokens: int) -> torch.Tensor:
    """A square of 2 × 2 patches."""
    side = 2 * round(image_tokens**0.5)
    return torch.zeros(n, CHANNELS, side, side)


def time_in_turn(runs: dict[str, Callable[[], None]], repeats: int) -> dict[str, list[float]]:
    """Seconds of each run, in turn: what slows the machine slows all alike. Where there are several
    turns, one that does not count comes first."""
    if repeats > 1:
        for run in runs.values():
            run()
    turns = [{name: time_run(run) for name, run in runs.items()} for _ in range(repeats)]
    return {name: [turn[name] for turn in turns] for name in runs}


def compare(seconds: list[float], stock: list[float]) -> dict:
    """Median, least and greatest of the ratios turn by turn, and the median of the seconds."""
    ratios = [a / b for a, b in zip(seconds, stock, strict=True)]
    return {
        "ratio": statistics.median(ratios),
        "least": min(ratios),
        "greatest": max(ratios),
        "seconds": statistics.median(seconds),
        "stock_seconds": statistics.median(stock),
    }
