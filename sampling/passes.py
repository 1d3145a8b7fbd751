"""A set in one pass or several, as the memory asks for."""

import logging
import math
from collections.abc import Callable
from typing import Protocol

import comfy.model_management
import torch

from .preview import SetProgress
from .run import Run

Callback = Callable[[range, int, torch.Tensor, torch.Tensor, int], None]


class Samples(Protocol):
    """What makes some images of a set: a Run, or what stands before one."""

    def sample(self, images: range, callback: Callable, /) -> torch.Tensor: ...


def sample_in_passes(
    run: Run, n: int, images_per_pass: int, callback: Callback | None
) -> torch.Tensor:
    """All n images, some at a time.

    At images_per_pass = 0 a pass that finds no memory is halved and tried again.
    """
    may_halve = images_per_pass == 0
    size = first_size(run.model, run.latent_NCHW.shape) if may_halve else images_per_pass
    progress = SetProgress(run.model, n, len(run.sigmas) - 1)
    done = []
    passes_done = 0
    while len(done) < n:
        images = range(len(done), min(len(done) + size, n))
        step_done = progress.callback(
            images, passes_done, passes_done + math.ceil((n - len(done)) / size)
        )
        samples = attempt(run, images, with_caller(step_done, images, callback), may_halve)
        if samples is None:
            size = halve(len(images))
            logging.warning(
                "Coupled: not enough memory for %d images at once; going on with %d per pass. The"
                " images come out the same.",
                len(images),
                size,
            )
            continue
        done.extend(samples)
        passes_done += 1
    return torch.stack(done)


def attempt(
    run: Samples, images: range, callback: Callable, may_halve: bool
) -> torch.Tensor | None:
    """One pass; None when it ran out of memory and fewer images may fit."""
    try:
        return run.sample(images, callback)
    except Exception as error:
        if not may_halve or not comfy.model_management.is_oom(error):
            raise
        if len(images) == 1:
            raise comfy.model_management.OOM_EXCEPTION(
                "There is not enough memory for even one image at a time. Make the latent smaller,"
                " load the model in a smaller number format, or start the host with --lowvram."
                f" ({error})"
            ) from error
    # here, where the failed pass's tensors are gone with its traceback
    comfy.model_management.soft_empty_cache()
    return None


def first_size(model, shape: torch.Size) -> int:
    """The number of images, halved until the host's estimate of a pass fits the device."""
    total = comfy.model_management.get_total_memory(model.load_device)
    size = shape[0]
    while size > 1 and model.memory_required([size, *shape[1:]]) > total:
        size = halve(size)
    return size


def halve(size: int) -> int:
    return (size + 1) // 2


def with_caller(step_done: Callable, images: range, callback: Callback | None) -> Callable:
    """The host's callback of a pass: progress first, then the caller's own."""

    def run(step: int, x0: torch.Tensor, x: torch.Tensor, total_steps: int) -> None:
        step_done(step, x0, x, total_steps)
        if callback is not None:
            callback(images, step, x0, x, total_steps)

    return run
