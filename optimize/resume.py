"""Starts a run in its midst, from a latent that is known."""

import functools
from collections.abc import Callable
from typing import Any

import comfy.samplers
import torch
from comfy.samplers import KSAMPLER

from ..attention.plate_run import PLATE
from ..sampling.run import Run
from .prefixes import Start


def ignore(*_) -> None:
    """What is done where nothing is asked for."""


def resume(
    run: Run,
    images: range,
    start: Start,
    keep: Callable,
    callback: Callable,
) -> torch.Tensor:
    """A pass of a run from where it starts, whose latent it takes as it is.

    keep(step, latent, known) is called before each step with all rows of the batch, the plate's too
    in local mode, and what that run knows of its regions. The host is given the sigmas of the whole
    run, so theta and all else that goes by progress stay as they were.
    """
    host = comfy.samplers.sampler_object(run.sampler_name)
    function = from_step(host.sampler_function, start, keep)
    sampler: Any = KSAMPLER(function, host.extra_options)
    sampler.stands_for = host  # a trial of this one would store its latents
    return run.sample(images, callback, sampler)


def from_step(function: Callable, start: Start, keep: Callable) -> Callable:
    """A sampler function like `function` that begins at a step with its latent, and draws no noise
    for it.
    """

    @functools.wraps(function)
    def run(
        model,
        noise,
        sigmas,
        extra_args=None,
        callback: Callable | None = None,
        disable=None,
        **options,
    ):
        plate = ((extra_args or {}).get("model_options") or {})["transformer_options"].get(PLATE)
        if plate is not None and start.known is not None:
            plate.known = start.known
        before = plate and plate.known

        def step_done(state: dict) -> None:
            nonlocal before
            assert callback is not None  # a Run always has one
            step = start.step + state["i"]
            keep(step, state["x"], before)
            before = plate and plate.known
            callback({**state, "i": step})

        return function(
            model,
            noise if start.latent is None else start.latent.to(noise),
            sigmas[start.step :],
            extra_args=extra_args,
            callback=step_done,
            disable=disable,
            **options,
        )

    return run
