"""The methods that are compared: the paper's baselines, and coupling with its settings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from coupled import baselines
from coupled.optimize.painter import ENTITY, FULL_PROMPT
from coupled.schedules import ThetaSchedule, family

K = {"sin": 0.8, "arctan": 0.5}  # the paper's, for 50 steps


@dataclass(frozen=True)
class Baseline:
    """A function of the pack's `baselines`."""

    key: str
    label: str
    make: Callable[..., dict]


@dataclass(frozen=True)
class Coupled:
    """A coupled set with one setting; `center` in steps of 50."""

    center: float = 4
    shape: str = "sin"
    mode: str = "local"
    entity_text: str = ENTITY

    @property
    def key(self) -> str:
        text = self.entity_text.replace(" ", "-")
        return f"coupled-{self.mode}-{text}-{self.shape}-{self.center:g}"

    @property
    def label(self) -> str:
        return f"Coupled, {self.shape} {self.center:g}, {self.entity_text}, {self.mode}"

    @property
    def curve(self) -> str:
        """What stays the same while the center is swept."""
        return f"{self.shape}, {self.entity_text}, {self.mode}"

    def theta(self) -> ThetaSchedule:
        steepness = {"k": K[self.shape]} if self.shape in K else {}
        return family(self.shape, center=self.center, reference_steps=50, **steepness)


Method = Baseline | Coupled

TEXTS = (ENTITY, FULL_PROMPT)
SAME_SEED = Baseline("random-seed", "Same seed", baselines.random_seed)
BASELINES = (
    SAME_SEED,
    Baseline("p2p", "P2P", baselines.p2p),
    Baseline("rf-inversion", "RF-inversion", baselines.rf_inversion),
)
PAPERS = Coupled(12, mode="paper")  # Eq. 5 to the letter, the entity alone, sin at center 12

MAIN: tuple[Method, ...] = (
    *BASELINES,
    PAPERS,
    *(Coupled(12, mode="exact", entity_text=text) for text in TEXTS),
    *(Coupled(center, entity_text=text) for center in (4, 12) for text in TEXTS),
)
TABLE_4 = tuple(replace(PAPERS, shape=shape) for shape in ("01", "arctan", "sin"))
MODES = tuple(
    Coupled(center, "sin", mode, text)
    for center in (4, 12)
    for mode in ("local", "exact", "paper")
    for text in TEXTS
)
CENTERS = (2, 4, 8, 12, 18, 28)
# The first three are the paper's Figures 10, 9 and 8.
CURVES = (
    *TABLE_4,
    *(Coupled(mode=mode, entity_text=text) for mode in ("exact", "local") for text in TEXTS),
)
SWEEP = tuple(replace(curve, center=center) for curve in CURVES for center in CENTERS)
SWEPT = {method.key: method for method in SWEEP}
