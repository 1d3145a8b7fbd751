"""One coupled model call: its texts by theta, the rows that are computed, and the attention of its
blocks.
"""

import dataclasses
from contextlib import AbstractContextManager, nullcontext

import torch

from ..schedules import ThetaSchedule
from .architectures import Architecture, uncompiled
from .conditioning import (
    BACKGROUND_TOKENS,
    ENTITY_PADDING,
    ENTITY_POOLED,
    KEYWORDS,
    has_background,
)
from .contrast import ContrastProbe
from .modes import Mode
from .nag import check_nag
from .override import OVERRIDE, CoupledAttention, check_joint_calls
from .partly import Positions, cut_call, spread_out
from .plate_run import PLATE, PlateRun
from .strips import Injection, Layout, Strips, choose_width, cost_of_strips, make_strips
from .texts import Texts, both_texts, current_theta, mix_pooled, one_text, own_texts, spread_theta

WRAPPERS = "coupled"  # our key among a model's wrappers


@dataclasses.dataclass(frozen=True, eq=False)
class CoupledCall:
    """DIFFUSION_MODEL wrapper: runs a coupled conditioning with both texts, others as they are (in
    a run with a plate: with the plate outside the regions).

    A class, not a partial: torch.compile specializes on a partial's arguments and would recompile
    for another kind of schedule.
    """

    architecture: Architecture
    schedule: ThetaSchedule
    mode: Mode

    def __call__(self, executor, *args, **kwargs):
        if not has_background(kwargs) and PLATE not in options_of(self.architecture, args):
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


def options_of(architecture: Architecture, args: tuple) -> dict:
    return architecture.name_arguments(args)["options"]


@dataclasses.dataclass(eq=False)
class Prepared:
    """A call made ready. attention: None where the stock model's own serves. alike: whether rows
    that are the same may be computed once. positions: the patch of a call of strips. picture: the
    tokens that one picture alone would have.
    """

    named: dict
    kwargs: dict
    attention: CoupledAttention | None = None
    alike: bool = False
    positions: Positions | None = None
    picture: int = 0


# The call is made ready uncompiled; what stands below, the model, is compiled as one graph.
@torch.compiler.disable(recursive=False)
def run_coupled(coupled: CoupledCall, executor, args: tuple, kwargs: dict) -> torch.Tensor:
    """One coupled call. The lists and dicts of the host are read, not written."""
    plate = options_of(coupled.architecture, args).get(PLATE)
    call = prepare_call(coupled, executor, args, kwargs, plate)
    if call.alike:
        return run_alike(coupled.architecture, executor, call, plate)
    out = executor(*call.named.values(), **call.kwargs)
    if call.positions is not None and not call.positions.seen:
        plate.obstacle = "this version of ComfyUI hands no positions over"
        return run_coupled(coupled, executor, args, kwargs)
    return finish_call(coupled, executor, args, call, plate, out)


@torch.compiler.disable
def finish_call(
    coupled: CoupledCall, executor, args: tuple, call: Prepared, plate: PlateRun | None, out
) -> torch.Tensor:
    """The result for whole pictures."""
    attention = call.attention
    if attention is not None:
        check_joint_calls(attention, executor.class_obj)
        if attention.probe is not None:
            plate.hear(attention.probe.contrast_BS(), call.named["options"])
    count_work(plate, call, count_tokens(call.named["x"], coupled.architecture.patch))
    if call.positions is None:
        return out
    height, width = args[0].shape[-2:]
    return spread_out(attention.layout, out, coupled.architecture.patch, height, width)


@torch.compiler.disable
def prepare_call(
    coupled: CoupledCall, executor, args: tuple, kwargs: dict, plate: PlateRun | None
) -> Prepared:
    """The call's arguments by name, its keywords, and its attention."""
    architecture = coupled.architecture
    named = architecture.name_arguments(args)
    named["options"] = {k: v for k, v in named["options"].items() if k != PLATE}
    texts = read_texts(coupled, named, kwargs, plate)
    is_coupled = has_background(kwargs)
    probe = None
    if plate is not None and texts.theta_B11 is not None and plate.is_due(sigma_of(named)):
        probe = ContrastProbe()
    text = named["context"].shape[1] - kwargs.get(BACKGROUND_TOKENS, 0)
    kwargs = {k: v for k, v in kwargs.items() if k not in KEYWORDS}
    named["context"] = texts.context
    call = Prepared(named, kwargs)
    if plate is not None:
        tokens = text + count_tokens(named["x"], architecture.patch)
        call.picture = named["x"].shape[0] // plate.N * tokens
    layout = choose_layout(coupled, executor, call, texts, plate)
    if layout is None and texts.theta_B11 is None and texts.padding is None:
        call.alike = is_coupled
        return call
    if isinstance(layout, Strips):
        rows = layout.rows(named["x"].shape[0])
        texts = texts.select(rows)
        call.named, call.positions = cut_call(
            architecture, uncompiled(executor.class_obj), layout, named
        )
    options = call.named["options"]
    call.attention = CoupledAttention(
        architecture=architecture,
        streams=texts.streams,
        previous=options.get(OVERRIDE),
        mode=coupled.mode,
        theta_B11=texts.theta_B11,
        padding=texts.padding,
        probe=probe,
        layout=layout,
    )
    call.named["options"] = {**options, OVERRIDE: call.attention}
    return call


def count_tokens(x_BCHW: torch.Tensor, patch: int) -> int:
    """The image tokens of a row."""
    height, width = x_BCHW.shape[-2:]
    return -(-height // patch) * -(-width // patch)


def sigma_of(named: dict) -> float:
    return float(named["options"]["sigmas"][0])


def read_texts(coupled: CoupledCall, named: dict, kwargs: dict, plate: PlateRun | None) -> Texts:
    """What the rows read. The pooled vectors among the arguments are mixed."""
    context = named["context"]
    if not has_background(kwargs):
        return one_text(context)
    check_nag(named["options"])
    n_bg = kwargs[BACKGROUND_TOKENS]
    padding_BL = kwargs.get(ENTITY_PADDING)
    theta = current_theta(coupled.schedule, named["options"])
    N = None if plate is None else plate.N
    theta_B11 = spread_theta(theta, named["x"], N)
    mix_pooled(named, kwargs.get(ENTITY_POOLED), theta_B11)
    masked = kwargs.get("attention_mask") is not None
    if plate is not None and theta > 0:
        plate.part(sigma_of(named))
        if theta == 1 and not masked and not plate.is_due(sigma_of(named)):
            return own_texts(context, n_bg, plate.N, padding_BL)
    # the stock model hides no padding
    masked = masked or (theta == 1 and padding_BL is not None)
    if theta in coupled.mode.drops_text_at and not masked:
        return one_text(context[:, :n_bg] if theta == 0 else context[:, n_bg:])
    return both_texts(context, n_bg, theta_B11, padding_BL)


def choose_layout(
    coupled: CoupledCall, executor, call: Prepared, texts: Texts, plate: PlateRun | None
) -> Layout | None:
    """How images take the plate's keys and values outside their regions; None while they are free.

    Strips where the model can work on a part of a picture, and that saves work.
    """
    x_BCHW = call.named["x"]
    region_nhw = None if plate is None else plate.region_of(x_BCHW)
    if region_nhw is None:
        return None
    region_nS = region_nhw.flatten(1).to(x_BCHW.device)
    (n, S), T = region_nS.shape, texts.streams.text
    if plate.is_due(sigma_of(call.named)):  # whole pictures are looked at
        return Injection(region_nS)
    width = choose_width(plate.known.widest, n, T, S)
    reason = plate.obstacle or find_obstacle(executor, call.named, call.kwargs)
    if reason is None and coupled.architecture.positions is None:
        reason = f"parts of a picture are not supported for {coupled.architecture.name}"
    if reason is None and cost_of_strips(width, n, T, S) >= (n + 1) * (T + S):
        reason = "the subjects take so much of the picture that a part would save nothing"
    if reason is None:
        return make_strips(region_nS, width)
    plate.work.tell(reason)
    return Injection(region_nS)


@torch.compiler.disable
def count_work(plate: PlateRun | None, call: Prepared, tokens: int) -> None:
    """Counts the tokens of a call with so many image tokens in a row."""
    if plate is not None:
        B, text = call.named["context"].shape[:2]
        plate.work.count(B * (text + tokens), call.picture)


def run_alike(
    architecture: Architecture, executor, call: Prepared, plate: PlateRun | None
) -> torch.Tensor:
    """The model on one row when all rows are the same, its result handed to all."""
    named = call.named
    n = named["x"].shape[0]
    rows = {name: named[name] for name in architecture.per_row if torch.is_tensor(named.get(name))}
    alike = n > 1 and find_obstacle(executor, named, call.kwargs) is None and rows_alike(rows)
    if alike:
        named.update({name: value[:1] for name, value in rows.items()})
    out = executor(*named.values(), **call.kwargs)
    count_work(plate, call, count_tokens(named["x"], architecture.patch))
    return out.expand(n, *out.shape[1:]).clone() if alike else out


@torch.compiler.disable
def rows_alike(rows: dict[str, torch.Tensor]) -> bool:
    """Whether each tensor has equal rows; asked of the device once."""
    return bool(torch.stack([(value == value[:1]).all() for value in rows.values()]).all())


def find_obstacle(executor, named: dict, kwargs: dict) -> str | None:
    """What but the call's own arguments can make tokens or rows differ, in words; None if nothing
    does.
    """
    options = named["options"]
    if named.get("control") is not None:
        return "a ControlNet knows whole pictures only"
    if named.get("ref_latents") is not None:
        return "reference latents count as a part of the picture"
    if options.get("patches") or options.get("patches_replace"):
        return "another node patches the model's blocks"
    if options.get(OVERRIDE):
        return "another node has an attention of its own"
    if executor.idx + 1 < len(executor.wrappers):
        return "another node wraps the model"
    if any(torch.is_tensor(value) for value in kwargs.values()):
        return "the conditioning has an attention mask or the like"
    return None


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
        plate = (transformer_options or {}).get(PLATE)
        led = plate is not None and plate.region_of(x) is not None
        with compilation(executor, coupled=led or has_background(kwargs)):
            return executor(*args, **kwargs)


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
