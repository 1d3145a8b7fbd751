"""What whole runs of sets cost in mode local: the steps of each kind, measured, times how many of
them a run has.
"""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from functools import partial

from comfy.samplers import calculate_sigmas

from coupled.attention.region import is_time
from coupled.attention.stages import noise_share
from coupled.attention.strips import choose_width
from coupled.schedules import ThetaSchedule, constant, family

from .bench import FLUX_DEV, Bench, Size, draw_region, time_second_step

STEPS = 50  # of a run
STEPS_TO_DECIDE = 3  # of a run whose second step decides on the regions
QUARTER = 0.25  # of a picture: what the regions take
IMAGES = 4  # of the set whose peak memory is measured
GROWTH_SHARES = (0.1, 0.25, 0.5, 0.75)
GROWTH_SETS = (2, 4, 8)  # images of the sets whose cost over the regions' share is measured


@dataclass(frozen=True)
class Kind:
    """How a step is computed. theta: 0, 1, or 0.5 for all between. share: of a picture that the
    regions take; None before there are any. decides: whether it looks for them.
    """

    theta: float
    share: float | None = None
    decides: bool = False

    @property
    def name(self) -> str:
        if self.theta == 0:
            return "theta 0"
        if self.decides:
            return "deciding"
        texts = "one text" if self.theta == 1 else "both texts"
        return f"whole rows, {texts}" if self.share is None else f"{self.share:.0%}, {texts}"

    def run(self, bench: Bench, n: int, callback: Callable) -> None:
        """A run whose second step is of this kind."""
        settings = {}
        if self.share is not None:
            side = round(bench.size.image_tokens**0.5)
            settings["regions"] = draw_region(1, side, self.share)
        steps = STEPS_TO_DECIDE if self.decides else STEPS
        theta, tokens = constant(self.theta), bench.size.image_tokens
        bench.coupled(n, tokens, theta, "local", steps, callback, **settings)

    def step(self, bench: Bench, n: int) -> float:
        """Seconds of one step of this kind."""
        return time_second_step(partial(self.run, bench, n))

    def flops(self, size: Size, n: int) -> float:
        """Of such a step of n images."""
        tokens = size.image_tokens
        texts = 1 if self.theta in (0, 1) and not self.decides else 2
        if self.theta == 0:
            return size.flops(1, tokens, texts)
        if self.share is None:
            return size.flops(n + 1, tokens, texts)
        text = size.text * texts
        width = choose_width(round(self.share * tokens), n, text, tokens)
        strips = n - (-tokens // width)
        # The plate's strips attend as one row; an image's attends to a whole picture.
        hidden = 2 * size.text**2 if texts == 2 else 0
        pairs = n * (text + width) * (text + tokens) + (text + tokens) ** 2 - (n + 1) * hidden
        return size.flops_of(strips * (text + width), pairs)


PEAKS = {kind.name: kind for kind in (Kind(0.5), Kind(0.5, decides=True), Kind(1, QUARTER))}


def kinds_of_run(sampling, theta: ThetaSchedule, steps: int = STEPS) -> list[Kind]:
    """The kind of each step of a run by the host's scheduler simple."""
    share = partial(noise_share, sampling)
    sigmas = calculate_sigmas(sampling, "simple", steps).tolist()
    kinds: list[Kind] = []
    parted = region = None
    for i, sigma in enumerate(sigmas[:-1]):
        weight = theta.at(i / steps)
        if weight > 0 and parted is None:
            parted = sigma
        decides = False
        if parted is not None and region is None:
            decides = is_time(share(sigma) / share(parted), i == steps - 1)
        kinds.append(Kind(weight if weight in (0, 1) else 0.5, region, decides))
        if decides:
            region = QUARTER
    return kinds


def measure_sets(bench: Bench) -> dict:
    """Whole runs at `sin`, center 4, against the same images in one batch of the stock model."""
    sampling = bench.model.get_model_object("model_sampling")
    counts = Counter(kinds_of_run(sampling, family("sin", center=4)))
    return {f"n = {n}": measure_set(bench, n, counts) for n in bench.size.sets}


def expect_ratios(size: Size, n: int, kinds: Iterable[Kind]) -> dict[Kind, float]:
    """Of steps, as the floating-point operations tell."""
    stock = size.flops(n, size.image_tokens, 1)
    return {kind: kind.flops(size, n) / stock for kind in kinds}


def measure_ratios(bench: Bench, n: int, kinds: Collection[Kind]) -> dict[Kind, float]:
    """Of steps: the median of turns, each with a stock step of its own."""
    size = bench.size
    stock = partial(bench.stock, n, size.image_tokens, STEPS)
    turns = []
    for _ in range(max(1, size.repeats // 2)):
        seconds = time_second_step(stock)
        turns.append({kind: kind.step(bench, n) / seconds for kind in kinds})
    return {kind: statistics.median(turn[kind] for turn in turns) for kind in kinds}


def compose_ratio(ratios: dict[Kind, float], counts: Counter[Kind]) -> float:
    """Of a whole run, from those of its steps."""
    return sum(ratios[kind] * count for kind, count in counts.items()) / counts.total()


def measure_set(bench: Bench, n: int, counts: Counter[Kind]) -> dict:
    """Ratios of the steps and, by their counts, of a whole run: measured, and as the floating-point
    operations tell.
    """
    ratios, expected = measure_ratios(bench, n, counts), expect_ratios(bench.size, n, counts)
    return {
        "ratio": compose_ratio(ratios, counts),
        "expected": compose_ratio(expected, counts),
        "steps": {
            kind.name: {"count": count, "ratio": ratios[kind], "expected": expected[kind]}
            for kind, count in counts.items()
        },
    }


def compare_peaks(size: Size, own: float, stock: float) -> dict:
    """Of two peaks in bytes, weights included: their ratio, and what it is at most for Flux.1-dev,
    where what is not weights grows with the width and the weights grow with its square.
    """
    growth = FLUX_DEV.width / size.width * FLUX_DEV.dtype.itemsize / size.dtype.itemsize
    return {"ratio": own / stock, "flux_dev": 1 + (own - stock) * growth / FLUX_DEV.weight_bytes}


def measure_shares(bench: Bench) -> dict[str, list[dict]]:
    """A step of sets of which the regions are computed, with one text, over the share of a picture
    that they take: against a step of the stock batch.
    """
    sets = [n for n in GROWTH_SETS if n in bench.size.sets]
    return {f"n = {n}": measure_shares_of_set(bench, n) for n in sets}


def measure_shares_of_set(bench: Bench, n: int) -> list[dict]:
    """floor: the share of the tokens of the pictures, as if a token always cost the same."""
    kinds = {share: Kind(1, share) for share in GROWTH_SHARES}
    ratios = measure_ratios(bench, n, kinds.values())
    expected = expect_ratios(bench.size, n, kinds.values())
    return [
        {
            "at": share,
            "ratio": ratios[kind],
            "expected": expected[kind],
            "floor": share + 1 / n,
        }
        for share, kind in kinds.items()
    ]
