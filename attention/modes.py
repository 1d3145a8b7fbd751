"""The modes: how a model call weighs its two texts. A new mode is one entry here."""

import dataclasses
from collections.abc import Callable

from .equations import attend_across, attend_scaled, attend_weighted


@dataclasses.dataclass(frozen=True)
class Mode:
    """How a coupled call weighs its texts.

    attend: the equation of blocks in which text and image share one softmax. Blocks with branches
    follow Eq. 6-11 in every mode. across: the same where image attends to text alone.
    drops_text_at: the values of theta at which one text gets no attention in any row, so that the
    call runs without it.
    has_plate: whether the background text alone is sampled with the set, and outside its subject
    each image is that picture.
    """

    name: str
    attend: Callable
    across: Callable
    drops_text_at: tuple[float, ...] = ()
    has_plate: bool = False


LOCAL = Mode("local", attend_weighted, attend_across, drops_text_at=(0,), has_plate=True)
EXACT = Mode("exact", attend_weighted, attend_across, drops_text_at=(0, 1))
PAPER = Mode("paper", attend_scaled, attend_scaled)
MODES = {mode.name: mode for mode in (LOCAL, EXACT, PAPER)}
DEFAULT = LOCAL.name


def get_mode(name: str) -> Mode:
    """The mode of that name. ValueError if there is none."""
    if name not in MODES:
        raise ValueError(
            f"Unknown mode {name!r} of Coupled Attention: choose one of {', '.join(MODES)}."
        )
    return MODES[name]
