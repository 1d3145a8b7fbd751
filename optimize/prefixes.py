"""Latents that several schedules share."""

from collections import OrderedDict
from collections.abc import Sequence

import torch

MEMORY = 1 << 30  # bytes of latents that are kept


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

    def longest(self, owner: object, thetas: Sequence[float]) -> tuple[int, torch.Tensor | None]:
        """The last step whose latent is known, and the latent before that step; (0, None) when none
        is.
        """
        for step in range(len(thetas) - 1, 0, -1):
            key = (owner, tuple(thetas[:step]))
            if key in self.latents:
                self.latents.move_to_end(key)
                return step, self.latents[key]
        return 0, None

    def keep(self, owner: object, thetas: Sequence[float], latent: torch.Tensor) -> None:
        """Remembers the latent after the steps of `thetas`."""
        key = (owner, tuple(thetas))
        if not thetas or key in self.latents:
            return
        self.latents[key] = latent.detach().to("cpu", copy=True)
        self.used += latent.nbytes
        while self.used > self.memory and (oldest := self.oldest()) is not None:
            self.used -= self.latents.pop(oldest).nbytes

    def keep_step(
        self, owner: object, thetas: Sequence[float], step: int, latent: torch.Tensor
    ) -> None:
        """Remembers the latent before a step of a run with all of these `thetas`."""
        self.keep(owner, thetas[:step], latent)

    def oldest(self) -> tuple | None:
        """The key that was used longest ago, of those that are not all zeros."""
        return next((key for key in self.latents if any(key[1])), None)
