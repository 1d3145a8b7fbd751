"""Ratios of coupled against stock: single steps, whole runs, and how the cost grows."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch

from coupled.schedules import constant, family

from .bench import Bench, compare, time_in_turn

HALF = constant(0.5)


def measure_steps(bench: Bench) -> dict:
    """One step at every kind of theta, one image and four."""
    size = bench.size
    several = min(4, max(size.growth_images))
    alone = {mode: (HALF, mode) for mode in ("exact", "local", "paper")}
    cases = {f"mixed, {mode}": case for mode, case in alone.items()}
    cases |= {f"theta {theta:g}, exact": (constant(theta), "exact") for theta in (0.0, 1.0)}
    found = measure_step(bench, 1, cases, size.repeats)
    cases = {name: cases[name] for name in ("mixed, exact", "mixed, local")}
    return found | measure_step(bench, several, cases, max(2, size.repeats - 2))


def measure_step(bench: Bench, n: int, cases: dict[str, tuple], repeats: int) -> dict:
    """Ratios of one step of n images for each case of (theta, mode)."""
    tokens = bench.size.image_tokens
    runs: dict[str, Callable[[], None]] = {"stock": partial(bench.stock, n, tokens)}
    for name, (theta, mode) in cases.items():
        runs[name] = partial(bench.coupled, n, tokens, theta, mode)
    seconds = time_in_turn(runs, repeats)
    stock = seconds.pop("stock")
    return {f"{name}, batch {n}": compare(own, stock) for name, own in seconds.items()}


def measure_runs(bench: Bench) -> dict:
    """Whole runs of a set against the same images in a batch of the stock model."""
    # arctan is mixed at every step: the most that a run can cost.
    schedules = {"sin 12": family("sin"), "arctan 12": family("arctan")}
    if max(bench.size.growth_images) < 8:
        return measure_run(bench, 2, schedules, 1)
    found = measure_run(bench, 4, schedules, 3)
    return found | measure_run(bench, 8, {"sin 12": schedules["sin 12"]}, 1)


def measure_run(bench: Bench, n: int, schedules: dict, repeats: int) -> dict:
    tokens, steps = bench.size.run
    runs: dict[str, Callable[[], None]] = {"stock": partial(bench.stock, n, tokens, steps)}
    for name, schedule in schedules.items():
        for mode in ("exact", "local"):
            run = partial(bench.coupled, n, tokens, schedule, mode, steps)
            runs[f"{name}, {mode}"] = run
    seconds = time_in_turn(runs, repeats)
    stock = seconds.pop("stock")
    return {f"{name}, n = {n}": compare(own, stock) for name, own in seconds.items()}


def measure_growth(bench: Bench) -> dict:
    """A mixed step over the number of image tokens, and over the number of images; with what the
    FLOPs tell.
    """
    size = bench.size
    fewest = size.growth_tokens[0]
    return {
        "tokens": [measure_point(bench, 1, tokens, tokens) for tokens in size.growth_tokens],
        "images": [measure_point(bench, n, fewest, n) for n in size.growth_images],
    }


def measure_point(bench: Bench, n: int, tokens: int, at: int) -> dict:
    """A mixed step of n images against a stock step of one."""
    runs: dict[str, Callable[[], None]] = {
        "stock": partial(bench.stock, 1, tokens),
        "mixed": partial(bench.coupled, n, tokens, HALF, "exact"),
    }
    seconds = time_in_turn(runs, 3)
    expected = bench.size.flops(n, tokens, 2) / bench.size.flops(1, tokens, 1)
    return {"at": at, "expected": expected, **compare(seconds["mixed"], seconds["stock"])}


def describe_machine(bench: Bench) -> dict:
    """What it was measured on."""
    size = bench.size
    if bench.device.type == "cuda":
        name = torch.cuda.get_device_name()
    else:
        name = read_processor_name() or platform.machine()
    return {
        "device": name,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "dtype": str(size.dtype),
        "width": size.width,
        "double": size.double,
        "single": size.single,
        "text": size.text,
        "image_tokens": size.image_tokens,
        "run": size.run,
        "load": round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None,
    }


def read_processor_name() -> str:
    """The CPU's name on Linux."""
    file = Path("/proc/cpuinfo")
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), "")
