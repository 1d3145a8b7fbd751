"""Latents that several schedules share."""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch

MEMORY = 1 << 30  # bytes of latents that are kept


class Start(NamedTuple):
    """Where a run may start: a step, the latent before it, and what its run knew there (of a run
    with a plate); (0, None, None) is the beginning.
    """

    step: int = 0
    latent: torch.Tensor | None = None
    known: Any = None


class Prefixes:
    """Latents by what led to them, the oldest given up first when they need more than `memory`
    bytes.

    A key is (whose latent it is, theta of all steps before it). Where all of these are 0 it is kept
    for good: every candidate begins so.
    """

    def __init__(self, memory: int = MEMORY):
        self.memory = memory
        self.used = 0
        self.latents: OrderedDict[tuple, torch.Tensor] = OrderedDict()
        self.known: dict[tuple, Any] = {}

    def longest(self, owner: object, thetas: Sequence[float]) -> Start:
        """The last step whose latent is known; the beginning when none is."""
        for step in range(len(thetas) - 1, 0, -1):
            key = (owner, tuple(thetas[:step]))
            if key in self.latents:
                self.latents.move_to_end(key)
                return Start(step, self.latents[key], self.known[key])
        return Start()

    def keep(
        self, owner: object, thetas: Sequence[float], latent: torch.Tensor, known: Any = None
    ) -> None:
        """Remembers the latent after the steps of `thetas`, and what its run knew."""
        key = (owner, tuple(thetas))
        if not thetas or key in self.latents:
            return
        self.latents[key] = latent.detach().to("cpu", copy=True)
        self.known[key] = known
        self.used += latent.nbytes
        while self.used > self.memory and (oldest := self.oldest()) is not None:
            del self.known[oldest]
            self.used -= self.latents.pop(oldest).nbytes

    def keep_step(
        self, owner: object, thetas: Sequence[float], step: int, latent: torch.Tensor, known: Any
    ) -> None:
        """Remembers the latent before a step of a run with all of these `thetas`."""
        self.keep(owner, thetas[:step], latent, known)

    def oldest(self) -> tuple | None:
        """The key that was used longest ago, of those that are not all zeros."""
        return next((key for key in self.latents if any(key[1])), None)
