"""What all baselines share: their checks, and a run with a coupled set's noise and sampler."""

import dataclasses
from collections.abc import Callable, Sequence

import comfy.model_management
import torch

from ..attention import coupled_mode
from ..attention.conditioning import Conditioning
from ..attention.families import architecture_of
from ..sampling.checks import (
    check_guidance,
    check_latent,
    check_names,
    check_result,
    check_settings,
    check_text_encoder,
)
from ..sampling.run import Run, plan_run, to_latent


def plan_baseline(
    model,
    clip,
    prompts: Sequence[str],
    latent: dict,
    seed: int,
    steps: int,
    sampler_name: str,
    scheduler: str,
    guidance: float,
    at_least: int = 2,
) -> Run:
    """The run of a baseline, still without a text.

    ValueError if something is unfit, before anything is computed.
    """
    check_inputs(model, clip, prompts, guidance, at_least)
    check_family(model, guidance)
    check_settings(steps, denoise=1.0, images_per_pass=0, cfg=1.0)
    check_names(sampler_name, scheduler)
    if "cfg_pp" in sampler_name:
        raise ValueError(
            f"Choose another sampler, such as euler: {sampler_name} needs a negative prompt, and"
            " baselines do not take one."
        )
    check_latent(latent["samples"], len(prompts))
    return plan_run(
        model,
        latent,
        len(prompts),
        seed=seed,
        steps=steps,
        sampler_name=sampler_name,
        scheduler=scheduler,
    )


def check_inputs(model, clip, prompts: Sequence[str], guidance: float, at_least: int) -> None:
    """ValueError unless the model is stock, it has a text encoder, and prompts suffice."""
    if coupled_mode(model) is not None:
        raise ValueError(
            "Connect the unpatched MODEL: this one is patched by Coupled Attention, and a baseline"
            " shows what happens without it."
        )
    check_text_encoder(clip)
    if len(prompts) < at_least:
        raise ValueError(
            f"Write at least {at_least} prompt{'s' if at_least > 1 else ''}, one per line: now the"
            f" number is {len(prompts)}."
            + (" The first one makes the source, which the others edit." if at_least > 1 else "")
        )
    check_guidance(guidance)


def check_family(model, guidance: float) -> None:
    """ValueError unless the family can be coupled, so that there is something to compare, and
    takes this distilled guidance.
    """
    architecture = architecture_of(model.get_model_object("diffusion_model"))
    if architecture.guidance not in (None, guidance):
        raise ValueError(
            f"Set guidance to {architecture.guidance:g}: {architecture.name} knows no other"
            " distilled guidance."
        )


def check_share(name: str, value: float) -> None:
    """ValueError unless `value` is in [0, 1]; the host's own limits let NaN pass."""
    if not 0 <= value <= 1:
        raise ValueError(f"{name} must be a number from 0 to 1; it is {value}.")


def encode(clip, prompt: str, guidance: float) -> Conditioning:
    """A prompt as the host's CLIP Text Encode and Flux Guidance give it."""
    return add_guidance(clip.encode_from_tokens_scheduled(clip.tokenize(prompt)), guidance)


def add_guidance(conditioning: Conditioning, guidance: float) -> Conditioning:
    return [[context, {**values, "guidance": guidance}] for context, values in conditioning]


def stock_image(run: Run, i: int, positive: Conditioning, callback: Callable) -> torch.Tensor:
    """Image i of a run, made alone from an ordinary conditioning of one row: [1, C, H, W]."""
    return dataclasses.replace(run, positive=positive).sample(range(i, i + 1), callback)


def finish(latent: dict, samples: torch.Tensor) -> dict:
    """The samples as a LATENT. ValueError if they are not finite."""
    check_result(samples)
    samples = samples.to(
        comfy.model_management.intermediate_device(), comfy.model_management.intermediate_dtype()
    )
    return to_latent(latent, samples)
