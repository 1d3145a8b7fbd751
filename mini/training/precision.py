"""Which numbers a training computes with."""

import time
from functools import cache

import torch

SIZE = 512  # of the matrices that are multiplied to find out
TIMES = 8


@cache
def quicker_dtype() -> torch.dtype:
    """bfloat16 where the device multiplies it quicker than float32: many CPUs only emulate it."""
    return min((torch.bfloat16, torch.float32), key=seconds_to_multiply)


def seconds_to_multiply(dtype: torch.dtype) -> float:
    a = torch.ones(SIZE, SIZE, dtype=dtype)
    times = []
    for _ in range(TIMES):
        started = time.perf_counter()
        (a @ a)[0, 0].item()
        times.append(time.perf_counter() - started)
    return min(times)


def autocast(device: torch.device) -> torch.autocast:
    """The context in which a training's model runs; of no effect where float32 is quicker."""
    return torch.autocast(device.type, torch.bfloat16, quicker_dtype() is torch.bfloat16)
