"""One coupled model call: theta from the noise level, the pooled vectors mixed, a text of weight 0
dropped, and the attention of its blocks set.
"""

import dataclasses
import math
from contextlib import AbstractContextManager, nullcontext

import torch
from torch.nn import functional as F

from ..schedules import ThetaSchedule
from .architectures import Architecture, Place
from .conditioning import (
    BACKGROUND_TOKENS,
    ENTITY_PADDING,
    ENTITY_POOLED,
    KEYWORDS,
    PLATE_ROWS,
    has_background,
)
from .contrast import PROBE
from .equations import Streams
from .modes import Mode
from .nag import check_nag
from .override import OVERRIDE, CoupledAttention, check_joint_calls
from .plate import call_with_plate
from .positions import SetBack, check_set_back
from .progress import even, step_position, theta_at
from .stages import PROGRESS

WRAPPERS = "coupled"  # our key among a model's wrappers


@dataclasses.dataclass(frozen=True, eq=False)
class CoupledCall:
    """DIFFUSION_MODEL wrapper: runs a coupled conditioning with both texts, others as they are.

    A class, not a partial: torch.compile specializes on a partial's arguments and would recompile
    for another kind of schedule.
    """

    architecture: Architecture
    schedule: ThetaSchedule
    mode: Mode

    def __call__(self, executor, *args, **kwargs):
        if not has_background(kwargs):
            return executor(*args, **kwargs)
        return run_coupled(self, executor, args, kwargs)


def coupled_mode(model) -> Mode | None:
    """The mode that a ModelPatcher was coupled in; None of a stock one."""
    from comfy.patcher_extension import WrappersMP

    calls = model.get_wrappers(WrappersMP.DIFFUSION_MODEL, WRAPPERS)
    return calls[0].mode if calls else None


def has_plate(model) -> bool:
    """Whether a ModelPatcher makes sets with a plate; a stock one does not."""
    mode = coupled_mode(model)
    return mode is not None and mode.has_plate


# The call is made ready uncompiled; what stands below, the model, is compiled as one graph.
@torch.compiler.disable(recursive=False)
def run_coupled(coupled: CoupledCall, executor, args: tuple, kwargs: dict) -> torch.Tensor:
    """One coupled call. The lists and dicts of the host are read, not written."""
    named, kwargs, attention = prepare_call(coupled, executor.class_obj, args, kwargs)
    if attention is None:
        return run_alike(coupled.architecture, executor, named, kwargs)
    out = coupled.architecture.call(executor, named, kwargs)
    check_joint_calls(attention, executor.class_obj)
    check_set_back(coupled.architecture, named["options"])
    return out


@torch.compiler.disable
def prepare_call(
    coupled: CoupledCall, model: torch.nn.Module, args: tuple, kwargs: dict
) -> tuple[dict, dict, CoupledAttention | None]:
    """The call's arguments by name, its keywords, and its attention; None for a call on one text,
    which is the stock model's.
    """
    architecture = coupled.architecture
    named = architecture.name_arguments(args, kwargs)
    reason = architecture.refuse(named, kwargs)
    if reason is not None:
        raise ValueError(reason)
    check_nag(named["options"])
    n_bg = kwargs[BACKGROUND_TOKENS]
    padding_BL = kwargs.get(ENTITY_PADDING)
    theta = current_theta(coupled.schedule, named["options"])
    theta_B11 = spread_theta(theta, named["x"], kwargs.get(PLATE_ROWS))
    mix_pooled(named, kwargs.get(ENTITY_POOLED), theta_B11)
    kwargs = {k: v for k, v in kwargs.items() if k not in KEYWORDS}
    context = named["context"]
    masked = any(values.get("attention_mask") is not None for values in (named, kwargs))
    masked = masked or (theta == 1 and padding_BL is not None)
    if theta in coupled.mode.drops_text_at and not masked:  # the stock model hides no padding
        named["context"] = context[:, :n_bg] if theta == 0 else context[:, n_bg:]
        return named, kwargs, None
    streams = Streams(n_bg, context.shape[1])
    attention = CoupledAttention(
        architecture=architecture,
        streams=streams,
        refiners=architecture.refiners(model),
        turns=architecture.turns(
            model, find_place(architecture, named["x"], streams, theta_B11, padding_BL)
        ),
        previous=named["options"].get(OVERRIDE),
        mode=coupled.mode,
        theta_B11=theta_B11,
        padding=None if padding_BL is None else spread_padding(padding_BL, streams),
        probe=named["options"].get(PROBE),
    )
    named["options"] = {**named["options"], OVERRIDE: attention}
    if architecture.sets_back_ids:
        named["options"] = SetBack(streams).add_to(named["options"])
    return named, kwargs, attention


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


def spread_theta(theta: float, x: torch.Tensor, plate_rows: int | None) -> torch.Tensor:
    """theta for each row, [B, 1, 1]; 0 for plates: of `plate_rows` rows each the last.

    It is made on the device, because a copy would wait for it.
    """
    theta_B11 = torch.full((x.shape[0], 1, 1), theta, dtype=torch.float32, device=x.device)
    if plate_rows:
        theta_B11[plate_rows - 1 :: plate_rows] = 0
    return theta_B11


def find_place(
    architecture: Architecture,
    x: torch.Tensor,
    streams: Streams,
    theta_B11: torch.Tensor,
    padding_BL: torch.Tensor | None,
) -> Place:
    """Where the texts and the image are in a call."""
    theta_B = theta_B11.flatten()
    lengths_B = torch.full_like(theta_B, streams.text - streams.background)
    if padding_BL is not None:
        lengths_B = (padding_BL == 0).sum(1).to(theta_B)
    sides = (-(-side // architecture.patch) for side in x.shape[-2:])
    return Place(streams, theta_B, lengths_B, math.prod(sides))


def spread_padding(padding_BL: torch.Tensor, streams: Streams) -> torch.Tensor:
    """The entities' padding as a mask of all text keys, [B, 1, 1, text]."""
    return F.pad(padding_BL, (streams.background, 0))[:, None, None]


def mix_pooled(named: dict, entity_BP: torch.Tensor | None, theta_B11: torch.Tensor) -> None:
    """The pooled vector (1-theta)·pooled_bg + theta·pooled_ent; at 0 and 1 exactly one of both."""
    background_BP = named.get("pooled")
    if background_BP is None or entity_BP is None:
        return
    mixed_BP = torch.lerp(background_BP.float(), entity_BP.float(), theta_B11[..., 0])
    named["pooled"] = mixed_BP.to(background_BP.dtype)


def run_alike(architecture: Architecture, executor, named: dict, kwargs: dict) -> torch.Tensor:
    """The model on one row when all rows are the same, its result handed to all."""
    n = named["x"].shape[0]
    rows = {name: named[name] for name in architecture.per_row if torch.is_tensor(named.get(name))}
    if n == 1 or not self_contained(executor, named, kwargs) or not rows_alike(rows):
        return architecture.call(executor, named, kwargs)
    named.update({name: value[:1] for name, value in rows.items()})
    out = architecture.call(executor, named, kwargs)
    return out.expand(n, *out.shape[1:]).clone()


@torch.compiler.disable
def rows_alike(rows: dict[str, torch.Tensor]) -> bool:
    """Whether each tensor has equal rows; asked of the device once."""
    return bool(torch.stack([(value == value[:1]).all() for value in rows.values()]).all())


def self_contained(executor, named: dict, kwargs: dict) -> bool:
    """Whether nothing but the call's own arguments can make rows differ: no ControlNet, no
    reference image, no other pack's patch or wrapper.
    """
    arguments = {**named, **kwargs}
    if arguments.get("control") is not None or arguments.get("ref_latents") is not None:
        return False
    if any(named["options"].get(key) for key in ("patches", "patches_replace", OVERRIDE)):
        return False
    if executor.idx + 1 < len(executor.wrappers):
        return False
    return not any(torch.is_tensor(value) for value in kwargs.values())


@dataclasses.dataclass(frozen=True, eq=False)
class CoupledApply:
    """APPLY_MODEL wrapper of each model call."""

    architecture: Architecture

    def __call__(
        self,
        executor,
        x,
        t,
        c_concat=None,
        c_crossattn=None,
        control=None,
        transformer_options=None,
        **kwargs,
    ) -> torch.Tensor:
        args = (x, t, c_concat, c_crossattn, control, transformer_options)
        with compilation(executor, coupled=has_background(kwargs)):
            if PLATE_ROWS not in kwargs:
                return executor(*args, **kwargs)
            return call_with_plate(executor, self.architecture.patch, *args, **kwargs)


def compilation(executor, coupled: bool) -> AbstractContextManager:
    """A context that turns torch.compile off where compiled code could be of another call.

    The host's Torch Compile node tells torch not to compare transformer_options, where the wrapper
    and the attention of the call stand: code compiled for the stock model, another mode or other
    texts would be taken for this call's. (theta is a tensor, which compiled code reads in each
    call.) The node says so in `options`, which torch empties, so any `options` count. To compile
    such a call apart, with all of torch's comparisons, would not be safe either: torch keeps the
    compiled code of a function for all who compile it with the same backend.
    """
    patcher = executor.class_obj.current_patcher
    compiled = patcher.model_options.get("torch_compile_kwargs") if patcher else None
    unsafe = coupled and compiled and compiled.get("options") is not None
    return torch.compiler.set_stance("force_eager") if unsafe else nullcontext()
