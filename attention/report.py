"""What a run with a plate did, for the user: shares, cost, and what could not be done."""

import dataclasses
import logging

import torch

from .region import share_of


class Work:
    """The tokens that a run's model calls had, and those that one picture alone would have."""

    def __init__(self):
        self.spent = 0
        self.picture = 0
        self.reasons: dict[str, None] = {}  # in the order in which they came

    def count(self, spent: int, picture: int) -> None:
        self.spent += spent
        self.picture += picture

    def tell(self, reason: str) -> None:
        """Why whole rows ran where a part would do; logged once in a run."""
        if reason not in self.reasons:
            self.reasons[reason] = None
            logging.info(
                "Coupled: all of each picture is computed, not its subject alone: %s.", reason
            )


@dataclasses.dataclass(frozen=True, eq=False)
class PassReport:
    """One pass: n images and the plate.

    own_nHW: the latent pixels of each image that are its own. plate_1CHW: the plate's latent. lost:
    the images whose subject could not be told from the background. spent, picture: the tokens of
    all model calls, and those of one picture alone. reasons: why whole rows ran, if they did.
    """

    own_nHW: torch.Tensor
    plate_1CHW: torch.Tensor
    lost: tuple[int, ...]
    spent: int
    picture: int
    reasons: tuple[str, ...]

    def last(self, n: int) -> "PassReport":
        """Of the last n images: the first of a pass may be there for the plate alone."""
        extra = len(self.own_nHW) - n
        lost = tuple(i - extra for i in self.lost if i >= extra)
        return dataclasses.replace(self, own_nHW=self.own_nHW[extra:], lost=lost)


@dataclasses.dataclass
class Report:
    """A whole set, pass by pass; empty where no plate was made."""

    passes: list[PassReport] = dataclasses.field(default_factory=list)

    def plate(self) -> torch.Tensor | None:
        """The plate's latent, [1, C, H, W]; None where no plate was made."""
        return self.passes[0].plate_1CHW if self.passes else None

    def masks(self, scale: int) -> torch.Tensor | None:
        """What of each image is its own, at `scale` pixels a latent pixel, [n, H, W] in 0 and 1;
        None where no plate was made.
        """
        if not self.passes:
            return None
        return torch.cat([masks_of(one, scale) for one in self.passes])

    @property
    def pictures(self) -> float:
        """How many pictures' time the set took, counted in tokens."""
        return sum(one.spent / one.picture for one in self.passes if one.picture)

    @property
    def lost(self) -> list[int]:
        """The images, counted from 0, whose subject could not be told from the background."""
        sizes = [len(one.own_nHW) for one in self.passes]
        starts = [sum(sizes[:i]) for i in range(len(sizes))]
        return [start + i for start, one in zip(starts, self.passes, strict=True) for i in one.lost]

    def lines(self) -> list[str]:
        """The report in words, without what went wrong; empty where no plate was made."""
        if not self.passes:
            return []
        shares = torch.cat([share_of(one.own_nHW) for one in self.passes]).tolist()
        found = ", ".join(f"{i + 1}: {share:.0%}" for i, share in enumerate(shares))
        pictures = "1 picture" if len(shares) == 1 else f"{len(shares)} pictures"
        lines = [
            f"{pictures} in {self.pictures:.1f} pictures' time",
            f"background identical outside {max(shares):.0%} of a picture ({found})",
        ]
        reasons = dict.fromkeys(reason for one in self.passes for reason in one.reasons)
        return lines + [f"all of each picture was computed: {reason}" for reason in reasons]

    def warnings(self) -> list[str]:
        return [
            f"image {i + 1}: its subject cannot be told from the background, because nearly all of"
            " the picture differs; so its background is its own. Draw where the subject may stand"
            " (regions of Coupled Attention), or use mode exact"
            for i in self.lost
        ]

    def log(self) -> None:
        if self.passes:
            logging.info("Coupled: %s.", "; ".join(self.lines()))
        for warning in self.warnings():
            logging.warning("Coupled: %s.", warning)


def masks_of(one: PassReport, scale: int) -> torch.Tensor:
    own = one.own_nHW.float()
    return own.repeat_interleave(scale, 1).repeat_interleave(scale, 2).cpu()
