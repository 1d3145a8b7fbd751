"""Which rows and tokens a model call computes: whole pictures, or their regions where that can be
done.
"""

import math
from collections.abc import Sequence

import torch

from .architectures import Architecture
from .override import OVERRIDE
from .plate_run import PlateRun
from .region import grid_of
from .strips import Layout, choose_width, cost_of_strips, make_injection, make_strips


def choose_layout(
    architecture: Architecture,
    executor,
    named: dict,
    kwargs: dict,
    text: int,
    grids: Sequence[tuple[int, int]],
    plate: PlateRun,
) -> Layout | None:
    """How images take the plate's keys and values outside their regions; None while they are free.

    named, kwargs: the call's arguments; text: the tokens of its texts; grids: of its image tokens,
    as the architecture tells. Strips where the model can work on a part of a picture, and that
    saves work.
    """
    x_BCHW = named["x"]
    region_nhw = plate.region_of(x_BCHW)
    if region_nhw is None:
        return None
    injection = make_injection(region_nhw.to(x_BCHW.device), grids)
    n, S = injection.region_nS.shape
    if plate.is_due():  # whole pictures are looked at
        return injection
    width = choose_width(plate.known.widest, n, text, S)
    reason = plate.obstacle or find_obstacle(executor, named, kwargs)
    if reason is None and architecture.positions is None:
        reason = f"parts of a picture are not supported for {architecture.name}"
    if reason is None and cost_of_strips(width, n, text, S) >= (n + 1) * (text + S):
        reason = "the subjects take so much of the picture that a part would save nothing"
    if reason is None:
        return make_strips(injection.region_nS, width)
    plate.work.tell(reason)
    return injection


def find_obstacle(executor, named: dict, kwargs: dict) -> str | None:
    """What but the call's own arguments can make tokens or rows differ, in words; None if nothing
    does.
    """
    options = named["options"]
    if named.get("control", kwargs.get("control")) is not None:  # some families take it by name
        return "a ControlNet knows whole pictures only"
    if named.get("ref_latents") is not None:
        return "reference latents count as a part of the picture"
    if options.get("patches") or options.get("patches_replace"):
        return "another node patches the model's blocks"
    if options.get(OVERRIDE):
        return "another node has an attention of its own"
    if executor.idx + 1 < len(executor.wrappers):
        return "another node wraps the model"
    masks = (named.get("attention_mask"), *kwargs.values())
    if any(torch.is_tensor(value) for value in masks):
        return "the conditioning has an attention mask or the like"
    return None


def count_tokens(x_BCHW: torch.Tensor, patch: int) -> int:
    """The image tokens of a row."""
    return math.prod(grid_of(*x_BCHW.shape[-2:], patch))
