"""The combined score of the paper: background similarity and text alignment in one number."""

import dataclasses
import math


@dataclasses.dataclass(frozen=True)
class Weights:
    """score = background * f_bg + text * f_ti + offset."""

    background: float
    text: float
    offset: float = 0.0

    def score(self, f_bg: float, f_ti: float) -> float:
        return self.background * f_bg + self.text * f_ti + self.offset


# The paper states the first (section 5.1.2), but 14 of the 15 cells of its tables follow the
# second.
PRESETS = {"stated": Weights(300, 1 / 30), "tabulated": Weights(350, 1 / 20, 0.5)}


def combined(f_bg: float, f_ti: float, preset: str | Weights) -> float:
    """λ_bg·f_bg + λ_ti·f_ti + offset for f_bg <= 0 and f_ti = 100·cos; NaN when either is NaN.

    ValueError for a preset that does not exist, for non-finite weights, a positive f_bg, and
    infinite numbers.
    """
    weights = PRESETS.get(preset) if isinstance(preset, str) else preset
    if weights is None:
        raise ValueError(f"There are no weights {preset!r}; choose one of {', '.join(PRESETS)}.")
    if not all(map(math.isfinite, dataclasses.astuple(weights))):
        raise ValueError(
            "The weights of a score must be finite numbers; they are "
            f"{weights.background:g} and {weights.text:g}."
        )
    if f_bg > 0:
        raise ValueError(
            f"f_bg is {f_bg:g}, but background similarity is never above 0. Connect f_bg of"
            " Background Similarity; a plain squared difference needs a minus sign."
        )
    if math.isinf(f_bg) or math.isinf(f_ti):
        raise ValueError(f"f_bg ({f_bg:g}) and f_ti ({f_ti:g}) must be finite numbers.")
    return weights.score(f_bg, f_ti)
