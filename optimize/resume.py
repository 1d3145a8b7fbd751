"""Starts a run in its midst, from a latent that is known."""

import functools
from collections.abc import Callable
from typing import Any

import comfy.samplers
import torch
from comfy.samplers import KSAMPLER

from ..sampling.lockstep import Run


def ignore(*_) -> None:
    """What is done where nothing is asked for."""


def resume(
    run: Run,
    images: range,
    start: int,
    latent: torch.Tensor | None,
    keep: Callable,
    callback: Callable,
) -> torch.Tensor:
    """A pass of a run from step `start`, whose latent it takes as it is; the whole pass when that
    is None.

    keep(step, latent) is called before each step with all rows of the batch, the plate's too in
    local mode. The host is given the sigmas of the whole run, so theta and all else that goes by
    progress stay as they were.
    """
    host = comfy.samplers.sampler_object(run.sampler_name)
    function = from_step(host.sampler_function, start, latent, keep)
    sampler: Any = KSAMPLER(function, host.extra_options)
    sampler.stands_for = host  # a trial of this one would store its latents
    return run.sample(images, callback, sampler)


def from_step(
    function: Callable, start: int, latent: torch.Tensor | None, keep: Callable
) -> Callable:
    """A sampler function like `function` that begins at step `start` with `latent`, and draws no
    noise for it.
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
        def step_done(state: dict) -> None:
            assert callback is not None  # a Run always has one
            keep(start + state["i"], state["x"])
            callback({**state, "i": start + state["i"]})

        return function(
            model,
            noise if latent is None else latent.to(noise),
            sigmas[start:],
            extra_args=extra_args,
            callback=step_done,
            disable=disable,
            **options,
        )

    return run
