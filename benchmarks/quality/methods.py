"""The methods that are compared: the paper's baselines, and coupling with its settings."""

from __future__ import annotations

from dataclasses import dataclass, replace

from coupled.schedules import ThetaSchedule, family

K = {"sin": 0.8, "arctan": 0.5}  # the paper's, for 50 steps
ENTITY, FULL_PROMPT = "entity", "full prompt"


@dataclass(frozen=True)
class Baseline:
    """A function of the pack's `baselines`."""

    function: str
    label: str

    @property
    def key(self) -> str:
        return self.function.replace("_", "-")


@dataclass(frozen=True)
class Coupled:
    """A coupled set with one setting; `center` in steps of 50."""

    center: float = 4
    shape: str = "sin"
    mode: str = "local"
    entity_text: str = ENTITY

    @property
    def key(self) -> str:
        return (
            f"coupled-{self.mode}-{self.entity_text.replace(' ', '-')}-{self.shape}-{self.center:g}"
        )

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

SAME_SEED = Baseline("random_seed", "Same seed")
BASELINES = (SAME_SEED, Baseline("p2p", "P2P"), Baseline("rf_inversion", "RF-inversion"))
PAPERS = Coupled(12, mode="paper")  # Eq. 5 to the letter, the entity alone, sin at center 12

MAIN: tuple[Method, ...] = (
    *BASELINES,
    PAPERS,
    *(Coupled(12, mode="exact", entity_text=text) for text in (ENTITY, FULL_PROMPT)),
    *(Coupled(center, entity_text=text) for center in (4, 12) for text in (ENTITY, FULL_PROMPT)),
)
TABLE_4 = tuple(replace(PAPERS, shape=shape) for shape in ("01", "arctan", "sin"))
MODES = tuple(
    Coupled(center, "sin", mode, text)
    for center in (4, 12)
    for mode in ("local", "exact", "paper")
    for text in (ENTITY, FULL_PROMPT)
)
CENTERS = (2, 4, 8, 12, 18, 28)
CURVES = (
    *TABLE_4,
    *(
        Coupled(mode=mode, entity_text=text)
        for mode in ("exact", "local")
        for text in (ENTITY, FULL_PROMPT)
    ),
)  # the first three are the paper's Figures 10, 9 and 8
SWEEP = tuple(replace(curve, center=center) for curve in CURVES for center in CENTERS)
