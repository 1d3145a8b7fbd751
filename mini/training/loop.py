"""The one training loop: a budget, a learning rate that rises and falls, a moving average of the
weights, a line in the log now and then, and a file to go on from.
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import torch

from .optimizer import Optimizer
from .partners import Alone, Partners

LINE_EVERY, SAVE_EVERY = 50, 200  # steps


@dataclass(frozen=True)
class Budget:
    """How long a training lasts: so many steps or, where they are not given, so many minutes."""

    minutes: float = 0.0
    steps: int | None = None

    def progress(self, step: int, seconds: float) -> float:
        """The share that is spent after so many steps and seconds; 1 or more: all of it."""
        done, whole = (seconds, 60 * self.minutes) if self.steps is None else (step, self.steps)
        return done / whole if whole else 1.0


@dataclass(frozen=True)
class Rate:
    """The learning rate: it rises to `top` over `warmup` steps, and falls to 0 with the budget."""

    top: float
    warmup: int = 100
    power: float = 1.0

    def at(self, step: int, progress: float) -> float:
        return self.top * min(1, step / self.warmup) * (1 - progress) ** self.power


class Log:
    """Prints a line every LINE_EVERY steps, with a running mean of what a loss function shows."""

    def __init__(self, name: str, started: float):
        self.name = name
        self.started = started
        self.mean = 0.0
        self.examples = 0

    def add(self, step: int, progress: float, shown: torch.Tensor, examples: int) -> None:
        self.mean += (float(shown.nan_to_num()) - self.mean) * max(0.02, 1 / step)
        self.examples += examples
        if step % LINE_EVERY == 0:
            speed = self.examples / (time.time() - self.started)
            line = f"{self.name} step {step}: {self.mean:.4f}, {speed:.0f} images/s, {progress:.0%}"
            print(line, flush=True)


def train(
    name: str,
    optimizer: Optimizer,
    batches: Iterable[tuple],
    loss_of: Callable[..., tuple[torch.Tensor, torch.Tensor]],
    rate: Rate,
    budget: Budget,
    path: Path | None = None,
    partners: Alone | Partners | None = None,
) -> dict[str, torch.Tensor]:
    """Train `optimizer.model` and return the moving average of its weights.

    `loss_of(model, *batch)` gives the loss and the number that the log shows. The average is
    written to `path` now and then and at the end, for `resume`. `partners`: those that train the
    same model beside this process, of which the first one logs and writes.
    """
    partners = partners or Alone()
    started = time.time()
    log = Log(name, started)
    step = 0
    batches = iter(batches)
    path = path if partners.rank == 0 else None
    while True:
        progress = partners.agree(optimizer, budget.progress(step, time.time() - started))
        if progress >= 1:
            break
        batch = next(batches)
        loss, shown = loss_of(optimizer.model, *batch)
        loss.backward()
        optimizer.step(rate.at(step, progress))
        step += 1
        if partners.rank == 0:
            log.add(step, progress, shown.detach(), len(batch[0]))
        if path and step % SAVE_EVERY == 0:
            torch.save(optimizer.average_state(), path)
    if path:
        torch.save(optimizer.average_state(), path)
    return optimizer.average_state()


def resume(model: torch.nn.Module, path: Path) -> bool:
    """Load the weights that an earlier training left at `path`; whether there were any.

    RuntimeError where they are those of another model.
    """
    if not path.is_file():
        return False
    model.load_state_dict(torch.load(path, weights_only=True, map_location="cpu"))
    return True
