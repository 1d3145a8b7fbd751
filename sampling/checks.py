"""What must hold before and after a coupled set is sampled; each error says what to do."""

import math

import comfy.samplers
import torch

from ..attention import coupled_size, has_plate


def check_settings(steps: int, denoise: float, images_per_pass: int, cfg: float) -> None:
    """ValueError for numbers no sampler takes; the host's own limits let NaN pass."""
    if steps < 1:
        raise ValueError(f"steps must be 1 or more; it is {steps}.")
    if not 0 <= denoise <= 1:
        raise ValueError(f"denoise must be a number from 0 to 1; it is {denoise}.")
    if images_per_pass < 0:
        raise ValueError(
            "images_per_pass must be 0 (as many as the memory allows) or more; it is"
            f" {images_per_pass}."
        )
    if not math.isfinite(cfg):
        raise ValueError(f"cfg must be a finite number; it is {cfg}.")


def check_guidance(guidance: float) -> None:
    """ValueError unless the distilled guidance is a number."""
    if not math.isfinite(guidance):
        raise ValueError(f"guidance must be a finite number; it is {guidance}.")


def check_text_encoder(clip) -> None:
    """ValueError if there is none."""
    if clip is None:
        raise ValueError(
            "Load a text encoder with a CLIP loader: none is connected, for this checkpoint holds"
            " none."
        )


def check_names(sampler_name: str, scheduler: str) -> None:
    """ValueError for unknown names, in whose place the host would silently use others."""
    for what, name, known in (
        ("sampler", sampler_name, comfy.samplers.KSampler.SAMPLERS),
        ("scheduler", scheduler, comfy.samplers.KSampler.SCHEDULERS),
    ):
        if name not in known:
            raise ValueError(
                f"There is no {what} {str(name)[:60]!r}; choose one of {', '.join(known)}."
            )


def check_negative(negative: list | None, cfg: float, sampler_name: str) -> None:
    """ValueError if there is no negative conditioning and something needs one."""
    if negative is not None:
        return
    if not math.isclose(cfg, 1.0):
        raise ValueError(
            f"Connect a negative conditioning, or set cfg to 1: it is {cfg:g}, which needs one."
        )
    if "cfg_pp" in sampler_name:
        raise ValueError(
            f"Connect a negative conditioning, or choose another sampler: {sampler_name} needs one,"
            " even at cfg 1."
        )


def check_negative_size(negative: list | None, n: int) -> None:
    """ValueError if the negative conditioning is that of another coupled set."""
    size = None if negative is None else coupled_size(negative)
    if size not in (None, n):
        raise ValueError(
            "Give the negative as many entities as the positive has, or connect an ordinary one: it"
            f" is a coupled set of {size}, the positive is one of {n}."
        )


def check_fit_of_set(positive: list, latent: dict) -> int:
    """n, the number of images of the set.

    ValueError unless conditioning and latent are fit to make it.
    """
    n = coupled_size(positive)
    if n is None:
        raise ValueError(
            "Connect the conditioning of Encode Coupled Prompts: the positive is an ordinary one."
        )
    check_latent(latent["samples"], n)
    return n


def check_plain(samples: torch.Tensor) -> None:
    """ValueError for a latent of several tensors."""
    if samples.is_nested:
        raise ValueError(
            "Use an Empty Latent Image that fits the model: this latent holds several tensors, such"
            " as video and sound, and a coupled set needs an ordinary one."
        )


def check_latent(samples: torch.Tensor, n: int) -> None:
    """ValueError unless a latent has 1 row or n, all of them finite."""
    check_plain(samples)
    if samples.shape[0] not in (1, n):
        raise ValueError(
            f"Set the latent's batch_size to 1 (used for every image){f' or {n}' if n > 1 else ''}:"
            f" it is a batch of {samples.shape[0]}, but the set is one of {n}."
        )
    bad = not_finite(samples)
    if bad:
        raise ValueError(
            "Check the nodes that produced this latent: it holds NaN or infinite numbers in row"
            f" {list_rows(bad)}."
        )


def check_fit(model, samples: torch.Tensor) -> None:
    """ValueError unless a latent has the axes, the channels and the size that a model makes."""
    check_plain(samples)
    kind = model.get_model_object("latent_format")
    if samples.ndim != kind.latent_dimensions + 2:
        raise ValueError(
            "Use the empty latent, or the VAE, that fits the model: this latent is one of"
            f" {'videos' if samples.ndim == 5 else 'another kind'}, with {samples.ndim} axes"
            f" {list(samples.shape)}, and the model takes {kind.latent_dimensions + 2}. For Flux.1"
            " that is Empty Latent Image."
        )
    if samples.shape[1] != kind.latent_channels:
        raise ValueError(
            "Encode the picture with the VAE that fits the model: this latent has"
            f" {samples.shape[1]} channels, as those of another model do, and the model takes"
            f" {kind.latent_channels}. (An empty latent may have any number.)"
        )
    if has_plate(model) and samples.ndim == 5 and samples.shape[2] > 1:
        raise ValueError(
            "Use mode exact, or a latent of one frame: mode local keeps the background of pictures,"
            f" and this latent has {samples.shape[2]} frames."
        )
    if has_plate(model) and math.prod(samples.shape[-2:]) == 1:
        raise ValueError(
            "Use a larger latent, or mode exact: this one is 1 × 1, so nothing lies outside the"
            " entity, where mode local would keep the background."
        )


def check_result(samples: torch.Tensor) -> None:
    """ValueError if the result contains NaN or infinity."""
    bad = not_finite(samples)
    if bad:
        raise ValueError(
            "Load the model with weight_dtype default, or start the host with --bf16-unet or"
            " --fp32-unet: sampling gave NaN or infinite numbers in image"
            f" {list_rows(bad)} of {samples.shape[0]} (counted from 0), mostly because the number"
            " format is too narrow for the model. Else try another sampler, more steps, or the"
            " model without LoRAs."
        )


def not_finite(samples: torch.Tensor) -> list[int]:
    """The rows that hold NaN or infinite numbers."""
    return (~torch.isfinite(samples.flatten(1)).all(1)).nonzero().flatten().tolist()


def list_rows(rows: list[int]) -> str:
    return ", ".join(map(str, rows))
