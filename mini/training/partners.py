"""Training by several processes side by side, a core each: local SGD (Stich 2019). Each takes its
own batches; now and then all go on from the mean of their weights. On a CPU that is quicker than
threads, which wait for each other in every layer.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
import torch.distributed

from .optimizer import Optimizer

ROUND = 10.0  # seconds between two means
# Environment variables that a partner finds: its number, how many there are, where they meet.
RANK, COUNT, MEETING = (f"COUPLED_TRAINING_{name}" for name in ("RANK", "COUNT", "MEETING"))


class Alone:
    """One process: nobody to agree with."""

    rank, count = 0, 1

    def agree(self, optimizer: Optimizer, progress: float) -> float:
        return progress


class Partners:
    """This process among `count`, which meet through a file of their own."""

    def __init__(self, rank: int, count: int, meeting: Path):
        torch.distributed.init_process_group(
            "gloo", init_method=meeting.as_uri(), rank=rank, world_size=count
        )
        self.rank = rank
        self.count = count
        self.met = time.time()
        self.steps = 0  # at the last mean
        self.weights: list[torch.Tensor] = []

    def agree(self, optimizer: Optimizer, progress: float) -> float:
        """The progress; when a round is over it is that of all, and the weights are their mean."""
        if not self.weights:
            self.weights = [copy.detach().clone() for copy in optimizer.copies.values()]
        if time.time() - self.met < ROUND and progress < 1:
            return progress
        taken = optimizer.steps - self.steps
        changes = [
            (copy.detach() - weight).flatten() * taken
            for copy, weight in zip(optimizer.copies.values(), self.weights, strict=True)
        ]
        shared = torch.cat([*changes, torch.tensor([float(taken), progress])])
        torch.distributed.all_reduce(shared)
        mean = shared[:-2] / shared[-2].clamp(min=1)
        changes = mean.split([weight.numel() for weight in self.weights])
        self.weights = [w + c.view_as(w) for w, c in zip(self.weights, changes, strict=True)]
        optimizer.load(self.weights)
        self.steps, self.met = optimizer.steps, time.time()
        return float(shared[-1]) / self.count


def find_partners() -> Alone | Partners:
    """Those that `run_side_by_side` started beside this process."""
    if MEETING not in os.environ:
        return Alone()
    rank, count = (int(os.environ[name]) for name in (RANK, COUNT))
    return Partners(rank, count, Path(os.environ[MEETING]))


def run_side_by_side(count: int, *options: str) -> None:
    """Runs this very command with further options `count` times at once, to its end.

    RuntimeError if one of them fails; the others are stopped.
    """
    command = [*sys.orig_argv, *options]
    threads = max(1, (os.cpu_count() or 1) // count)
    processes = []
    with tempfile.TemporaryDirectory() as folder:
        shared = {COUNT: str(count), MEETING: f"{folder}/meeting", "OMP_NUM_THREADS": str(threads)}
        try:
            for rank in range(count):
                variables = {**os.environ, **shared, RANK: str(rank)}
                processes.append(subprocess.Popen(command, env=variables))
            while not all_ended(processes):
                time.sleep(0.1)
        finally:
            for process in processes:
                process.kill()
                process.wait()


def all_ended(processes: list[subprocess.Popen]) -> bool:
    codes = [process.poll() for process in processes]
    failed = [code for code in codes if code]
    if failed:
        raise RuntimeError(f"a training process ended with exit code {failed[0]}")
    return None not in codes
