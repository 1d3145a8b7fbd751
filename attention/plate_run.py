"""A run with a plate: what it remembers, and what it does to each step.

Outside its region an image is the plate, in what the model is given (x) and in the clean picture
that a step leads to (x0), after guidance. So it holds for every sampler. The object is made for one
run, stands among the options of that run alone, and is gone with it.

Legend: n images, the plate as row n, N = n + 1; C channels, H × W latent pixels, h × w image
tokens.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import torch

from .region import (
    MOST,
    find_region,
    grid_of,
    is_time,
    like,
    one_frame,
    share_of,
    tokens_of,
)
from .report import PassReport, Work

PLATE = "coupled_plate"  # the PlateRun of a run, among its transformer_options


@dataclasses.dataclass(frozen=True, eq=False)
class Known:
    """All that one step must know of those before it.

    parted: the noise level at which theta rose; None before. decided: whether the regions are.
    own_nHW: the latent pixels that are an image's own, and region_nhw: the tokens that show any of
    them; None while all are. lost: images whose subject cannot be told from the background.
    """

    parted: float | None = None
    decided: bool = False
    own_nHW: torch.Tensor | None = None
    region_nhw: torch.Tensor | None = None
    lost: tuple[int, ...] = ()

    @functools.cached_property
    def widest(self) -> int:
        """Tokens of the largest region; asked of the device once."""
        return 0 if self.region_nhw is None else int(self.region_nhw.flatten(1).sum(1).max())


class PlateRun:
    """PREDICT_NOISE wrapper of one run of N rows.

    allowed_nHW: where entities may stand, if the user drew it. always_nHW: what is an image's own
    in any case: what a mask of its own keeps, and the plate's does not. picture: the user's own
    plate. share: of noise at a noise level; the same for a flow.
    """

    def __init__(
        self,
        N: int,
        patch: int,
        last_sigma: float,
        allowed_nHW: torch.Tensor | None = None,
        always_nHW: torch.Tensor | None = None,
        picture: "Picture | None" = None,
        share: Callable[[float], float] = float,
    ):
        self.N = N
        self.patch = patch
        self.last_sigma = last_sigma
        self.allowed_nHW = allowed_nHW
        self.always_nHW = always_nHW
        self.picture = picture
        self.share = share
        self.known = Known()
        if allowed_nHW is not None:
            self.keep(self.within(allowed_nHW))
        self.sigma = float("inf")  # the noise level of the step
        self.contrasts: list[torch.Tensor] = []
        self.obstacle: str | None = None  # why no part of a picture is computed alone
        self.work = Work()

    def __call__(self, executor, x, timestep, *args, **kwargs) -> torch.Tensor:
        """x0 [N, C, H, W] of a step, from the guider's own."""
        self.sigma = float(timestep[0])
        self.contrasts = []
        if self.picture is not None:
            x = with_last(x, self.picture.at(timestep[:1]))
        x0 = executor(self.lead(x), timestep, *args, **kwargs)
        if self.is_due():
            self.decide(x0)
        if self.picture is not None:
            x0 = with_last(x0, self.picture.x0_1CHW.to(x0))
        return self.finish(x0)

    def lead(self, t_NCHW: torch.Tensor) -> torch.Tensor:
        """The images' rows, outside the regions the plate's."""
        if self.known.parted is None or self.known.own_nHW is None:
            return t_NCHW
        return lead_to_plate(t_NCHW, self.known.own_nHW)

    def finish(self, t_NCHW: torch.Tensor) -> torch.Tensor:
        """The same of a result: until theta rises every image is a plate of the user's own."""
        if self.known.parted is None and self.picture is not None:
            return t_NCHW[-1:].expand_as(t_NCHW).clone()
        return self.lead(t_NCHW)

    def part(self) -> None:
        """Hears that theta is above 0 in this step."""
        if self.known.parted is None:
            self.known = dataclasses.replace(self.known, parted=self.sigma)

    def is_due(self) -> bool:
        """Whether the regions are decided in this step, which needs whole rows."""
        parted = self.known.parted
        if parted is None or self.known.decided:
            return False
        noise = self.share(self.sigma) / self.share(parted) if parted else 0.0
        return is_time(noise, self.sigma <= self.last_sigma)

    def hear(self, contrast_BS: torch.Tensor | None, options: dict) -> None:
        """Hears the contrast of a call of one set or more; that of the positive one counts."""
        if contrast_BS is None:
            return
        sets = contrast_BS.split(self.N)
        kinds = options.get("cond_or_uncond") or [0] * len(sets)
        self.contrasts += [one for one, kind in zip(sets, kinds, strict=False) if kind == 0]

    def decide(self, x0_NCHW: torch.Tensor) -> None:
        """Finds the regions from this step's clean pictures, within what is drawn."""
        h, w = grid_of(*x0_NCHW.shape[-2:], self.patch)
        # Reference images come after; an area of the picture has fewer tokens and cannot be used.
        heard = [one[:, : h * w] for one in self.contrasts if one.shape[1] >= h * w]
        contrast_NS = torch.stack(heard).mean(0) if heard else None
        found_nHW = find_region(contrast_NS, one_frame(x0_NCHW), self.patch)
        drawn_nHW = self.within(torch.ones_like(found_nHW))
        found_nHW = found_nHW & drawn_nHW
        nothing_n = ~found_nHW.flatten(1).any(1)  # a subject that is not seen may still be there
        found_nHW = torch.where(nothing_n[:, None, None], drawn_nHW, found_nHW)
        lost_n = share_of(found_nHW) > MOST
        told = self.allowed_nHW is not None
        lost = () if told else tuple(lost_n.nonzero().flatten().tolist())
        self.keep(self.within(found_nHW | lost_n[:, None, None]), decided=True, lost=lost)

    def within(self, own_nHW: torch.Tensor) -> torch.Tensor:
        """What is allowed of it, and what is an image's own in any case."""
        if self.allowed_nHW is not None:
            own_nHW = own_nHW & self.allowed_nHW
        return own_nHW if self.always_nHW is None else own_nHW | self.always_nHW

    def keep(self, own_nHW: torch.Tensor, **known) -> None:
        region_nhw = tokens_of(own_nHW, self.patch)
        self.known = dataclasses.replace(
            self.known, own_nHW=own_nHW, region_nhw=region_nhw, **known
        )

    def region_of(self, x_BCHW: torch.Tensor) -> torch.Tensor | None:
        """The regions for a model call of whole pictures, [n, h, w]; None where rows are free."""
        region_nhw = self.known.region_nhw
        if self.known.parted is None or region_nhw is None:
            return None
        fits = region_nhw.shape[1:] == grid_of(*x_BCHW.shape[-2:], self.patch)
        return region_nhw if fits else None

    def report(self, samples_NCHW: torch.Tensor) -> PassReport:
        """What the run did, after it."""
        own_nHW, lost = self.known.own_nHW, self.known.lost
        parted = self.known.parted is not None
        if not parted or own_nHW is None:  # all of an image is the plate's, or all is its own
            own_nHW = torch.full((self.N - 1, *samples_NCHW.shape[-2:]), parted)
            lost = tuple(range(self.N - 1)) if parted else ()
        return PassReport(
            own_nHW=own_nHW.cpu(),
            plate_1CHW=samples_NCHW[-1:],
            lost=lost,
            spent=self.work.spent,
            picture=self.work.picture,
            reasons=tuple(self.work.reasons),
        )


@dataclasses.dataclass(frozen=True, eq=False)
class Picture:
    """A picture of the user's own as the plate: no step changes it.

    x0_1CHW: its latent as the model takes it; noise_1CHW: the run's; sampling: the host's
    model_sampling, which knows how much of each a noise level has.
    """

    x0_1CHW: torch.Tensor
    noise_1CHW: torch.Tensor
    sampling: Any

    def at(self, sigma_1: torch.Tensor) -> torch.Tensor:
        """What a noise level leaves of it."""
        x0, noise = self.x0_1CHW.to(sigma_1.device), self.noise_1CHW.to(sigma_1.device)
        return self.sampling.noise_scaling(sigma_1, noise, x0)


def with_last(t_NCHW: torch.Tensor, last_1CHW: torch.Tensor) -> torch.Tensor:
    return torch.cat((t_NCHW[:-1], last_1CHW.to(t_NCHW)))


def lead_to_plate(t_NCHW: torch.Tensor, own_nHW: torch.Tensor) -> torch.Tensor:
    """The images' own pixels, elsewhere the plate's."""
    own_n1HW = own_nHW[:, None].to(t_NCHW.device)
    images_nCHW = torch.where(like(own_n1HW, t_NCHW), t_NCHW[:-1], t_NCHW[-1:])
    return torch.cat((images_nCHW, t_NCHW[-1:]))
