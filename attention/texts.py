"""What the rows of a coupled call read: both texts by theta, or one text each."""

import dataclasses
from collections.abc import Collection
from itertools import count

import torch
from torch.nn import functional as F

from ..schedules import ThetaSchedule
from .conditioning import BACKGROUND_TOKENS, ENTITY_PADDING, ENTITY_POOLED, has_background
from .equations import Streams
from .modes import Mode
from .nag import check_nag
from .plate_run import PlateRun
from .progress import even, step_position, theta_at
from .stages import PROGRESS


@dataclasses.dataclass(frozen=True, eq=False)
class Texts:
    """context: [B, text, D]. theta_B11: the weight of each row's entity, float32, on the device;
    None where each row has one text. padding: None, or [B, 1, 1, text], added to the logits.
    """

    context: torch.Tensor
    streams: Streams
    theta_B11: torch.Tensor | None = None
    padding: torch.Tensor | None = None

    def select(self, rows: torch.Tensor) -> "Texts":
        """Those of some rows."""
        theta_B11, padding = (t if t is None else t[rows] for t in (self.theta_B11, self.padding))
        return Texts(self.context[rows], self.streams, theta_B11, padding)

    def told_from(self, lengths: Collection[int]) -> "Texts":
        """The same, of another number of tokens than these, by which an attention to the text is
        known: what is added is hidden.
        """
        context, s, padding = self.context, self.streams, self.padding
        added = next(n for n in count() if s.text + n not in lengths)
        if not added:
            return self
        if padding is None:
            padding = context.new_zeros(len(context), 1, 1, s.text)
        padding = F.pad(padding, (0, added), value=float("-inf"))
        context = F.pad(context, (0, 0, 0, added))
        return Texts(context, Streams(s.background, s.text + added), self.theta_B11, padding)


def read_texts(
    schedule: ThetaSchedule,
    mode: Mode,
    named: dict,
    kwargs: dict,
    plate: PlateRun | None,
    in_front: bool = False,
) -> Texts:
    """What the rows read. The pooled vectors among the arguments are mixed. in_front: shorter texts
    are filled up there.
    """
    context = named["context"]
    if not has_background(kwargs):
        return one_text(context)
    check_nag(named["options"])
    n_bg = kwargs[BACKGROUND_TOKENS]
    padding_BL = kwargs.get(ENTITY_PADDING)
    theta = current_theta(schedule, named["options"])
    N = None if plate is None else plate.N
    theta_B11 = spread_theta(theta, named["x"], N)
    mix_pooled(named, kwargs.get(ENTITY_POOLED), theta_B11)
    masked = any(values.get("attention_mask") is not None for values in (named, kwargs))
    if plate is not None and theta > 0:
        plate.part()
        if theta == 1 and not masked and not plate.is_due():
            return own_texts(context, n_bg, plate.N, padding_BL, in_front)
    # the stock model hides no padding
    masked = masked or (theta == 1 and padding_BL is not None)
    if theta in mode.drops_text_at and not masked:
        return one_text(context[:, :n_bg] if theta == 0 else context[:, n_bg:])
    return both_texts(context, n_bg, theta_B11, padding_BL)


def one_text(context: torch.Tensor, padding: torch.Tensor | None = None) -> Texts:
    """One text in each row."""
    return Texts(context, Streams(0, context.shape[1]), None, padding)


def both_texts(
    context: torch.Tensor, background: int, theta_B11: torch.Tensor, padding_BL: torch.Tensor | None
) -> Texts:
    """Both in each row, the entities' padding as a mask of all text keys."""
    streams = Streams(background, context.shape[1])
    padding = None if padding_BL is None else F.pad(padding_BL, (background, 0))[:, None, None]
    return Texts(context, streams, theta_B11, padding)


def own_texts(
    context: torch.Tensor,
    background: int,
    N: int,
    padding_BL: torch.Tensor | None,
    in_front: bool = False,
) -> Texts:
    """At theta 1 each row's own text: an image's entity, and of N rows the last one's background.

    The shorter of the two is filled up, which the padding hides.
    """
    is_plate_B = torch.arange(len(context), device=context.device) % N == N - 1
    bg, ent = context[:, :background], context[:, background:]
    T = max(bg.shape[1], ent.shape[1])
    bg, ent = (fill_to(t, T, in_front) for t in (bg, ent))
    own = torch.where(is_plate_B[:, None, None], bg, ent)
    if padding_BL is None and background * 2 == context.shape[1]:
        return one_text(own)
    entity = context.shape[1] - background
    padding_BL = context.new_zeros(1, entity) if padding_BL is None else padding_BL
    shown_1L = context.new_zeros(1, background)
    shown, hidden = (
        fill_to(t[..., None], T, in_front, float("-inf"))[..., 0] for t in (shown_1L, padding_BL)
    )
    padding = torch.where(is_plate_B[:, None], shown, hidden.to(shown.dtype))
    return one_text(own, padding[:, None, None])


def fill_to(t_BLD: torch.Tensor, tokens: int, in_front: bool, value: float = 0) -> torch.Tensor:
    gap = tokens - t_BLD.shape[1]
    return F.pad(t_BLD, (0, 0, *((gap, 0) if in_front else (0, gap))), value=value)


def current_theta(schedule: ThetaSchedule, options: dict) -> float:
    """theta of this model call; the sigmas are read from the device at once."""
    sigma = options.get("sigmas")
    sigmas = options.get("sample_sigmas")
    if sigma is None or sigmas is None or len(sigmas) < 2:
        raise ValueError(
            "Coupled Attention cannot tell the sampling step: the model was called without `sigmas`"
            " and `sample_sigmas` in transformer_options. Use it with a sampler of the host."
        )
    sigma, *sigmas = torch.cat((sigma[:1].to(sigmas), sigmas)).tolist()
    steps = len(sigmas) - 1
    progress = options.get(PROGRESS) or ()
    if len(progress) != len(sigmas):  # a call outside the host's sampling: a run of its own
        progress = even(0, steps, steps)
    return theta_at(schedule, step_position(sigma, sigmas), progress)


def spread_theta(theta: float, x: torch.Tensor, N: int | None) -> torch.Tensor:
    """theta for each row, [B, 1, 1]; 0 for plates: of N rows each the last.

    It is made on the device, because a copy would wait for it.
    """
    theta_B11 = torch.full((x.shape[0], 1, 1), theta, dtype=torch.float32, device=x.device)
    if N:
        theta_B11[N - 1 :: N] = 0
    return theta_B11


def mix_pooled(named: dict, entity_BP: torch.Tensor | None, theta_B11: torch.Tensor) -> None:
    """The pooled vector (1-theta)·pooled_bg + theta·pooled_ent; at 0 and 1 exactly one of both.

    What a model has after it, such as sizes, is the background's.
    """
    pooled = named.get("pooled")
    if pooled is None or entity_BP is None:
        return
    background_BP, rest = pooled.tensor_split([entity_BP.shape[1]], 1)
    mixed_BP = torch.lerp(background_BP.float(), entity_BP.float(), theta_B11[..., 0])
    named["pooled"] = torch.cat((mixed_BP.to(pooled.dtype), rest), 1)
