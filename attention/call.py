"""One coupled model call: its texts by theta, the rows that are computed, and the attention of its
blocks.
"""

import dataclasses
from typing import Any

import torch

from ..schedules import ThetaSchedule
from .architectures import Architecture, Place, uncompiled
from .conditioning import BACKGROUND_TOKENS, KEYWORDS, has_background
from .contrast import ContrastProbe
from .layout import choose_layout, count_tokens, find_obstacle
from .modes import Mode
from .override import OVERRIDE, CoupledAttention, check_joint_calls
from .partly import Positions, cut_call, spread_out
from .plate_run import PLATE, PlateRun
from .positions import PlaceTexts, check_placed, place_texts
from .strips import Layout, Strips
from .texts import Texts, read_texts
from .wrapped import WRAPPERS


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
        if not has_background(kwargs) and PLATE not in options_of(self.architecture, args, kwargs):
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


def options_of(architecture: Architecture, args: tuple, kwargs: dict) -> dict:
    return architecture.name_arguments(args, kwargs)["options"]


@dataclasses.dataclass(eq=False)
class Prepared:
    """A call made ready. attention: None where the stock model's own serves. alike: whether rows
    that are the same may be computed once. positions: the patch of a call of strips; texts: that of
    a family whose texts must be placed. picture: the tokens that one picture alone would have.
    """

    named: dict
    kwargs: dict
    attention: CoupledAttention | None = None
    alike: bool = False
    positions: Positions | None = None
    texts: PlaceTexts | None = None
    picture: int = 0


# The call is made ready uncompiled; what stands below, the model, is compiled as one graph.
@torch.compiler.disable(recursive=False)
def run_coupled(coupled: CoupledCall, executor, args: tuple, kwargs: dict) -> torch.Tensor:
    """One coupled call. The lists and dicts of the host are read, not written."""
    plate = options_of(coupled.architecture, args, kwargs).get(PLATE)
    call = prepare_call(coupled, executor, args, kwargs, plate)
    if call.alike:
        return run_alike(coupled.architecture, executor, call, plate)
    out = coupled.architecture.call(executor, call.named, call.kwargs)
    if plate is not None and call.positions is not None and not call.positions.seen:
        plate.obstacle = "this version of ComfyUI hands no positions over"
        return run_coupled(coupled, executor, args, kwargs)
    return finish_call(coupled, executor, args, call, plate, out)


@torch.compiler.disable
def finish_call(
    coupled: CoupledCall, executor, args: tuple, call: Prepared, plate: PlateRun | None, out
) -> torch.Tensor:
    """The result for whole pictures."""
    attention, patch = call.attention, coupled.architecture.patch
    count_work(plate, call, count_tokens(call.named["x"], patch))
    if attention is None:
        return out
    check_joint_calls(attention, uncompiled(executor.class_obj))
    check_placed(coupled.architecture, call.texts)
    if plate is not None and attention.probe is not None:
        plate.hear(attention.probe.contrast_BS(), call.named["options"])
    if isinstance(attention.layout, Strips):
        return spread_out(attention.layout, out, patch, *args[0].shape[-2:])
    return out


@torch.compiler.disable
def prepare_call(
    coupled: CoupledCall, executor, args: tuple, kwargs: dict, plate: PlateRun | None
) -> Prepared:
    """The call's arguments by name, its keywords, and its attention."""
    architecture, model = coupled.architecture, uncompiled(executor.class_obj)
    named = architecture.name_arguments(args, kwargs)
    # A model may have written the kind of its last block into the host's options.
    named["options"] = {k: v for k, v in named["options"].items() if k not in (PLATE, "block_type")}
    reason = architecture.refuse(named, kwargs)
    if reason is not None:
        raise ValueError(reason)
    named, kwargs = architecture.embed_texts(model, named, kwargs)
    texts = read_texts(
        coupled.schedule, coupled.mode, named, kwargs, plate, architecture.ends_at_image
    )
    is_coupled = has_background(kwargs)
    grids = architecture.grids(model, named["x"])
    probe = None
    if plate is not None and texts.theta_B11 is not None and plate.is_due():
        probe = ContrastProbe(grids)
    text = named["context"].shape[1] - kwargs.get(BACKGROUND_TOKENS, 0)
    kwargs = {k: v for k, v in kwargs.items() if k not in KEYWORDS}
    named["context"] = texts.context
    call = Prepared(named, kwargs)
    layout = None
    if plate is not None:
        tokens = text + count_tokens(named["x"], architecture.patch)
        call.picture = named["x"].shape[0] // plate.N * tokens
        both = texts.streams.text
        layout = choose_layout(architecture, executor, named, kwargs, both, grids, plate)
    if layout is None and texts.theta_B11 is None and texts.padding is None:
        call.alike = is_coupled
        return call
    if isinstance(layout, Strips):
        texts = texts.select(layout.rows(named["x"].shape[0]))
        call.named, call.positions = cut_call(architecture, model, layout, named)
    texts = texts.told_from([h * w for h, w in grids])
    if architecture.text_positions is not None:
        call.texts = place_texts(architecture, model, named["x"], texts.streams)
    attach_attention(coupled, call, model, texts, probe, layout)
    return call


def attach_attention(
    coupled: CoupledCall,
    call: Prepared,
    model: Any,
    texts: Texts,
    probe: ContrastProbe | None,
    layout: Layout | None,
) -> None:
    """Puts the texts into the call, and into its options the override that attends to them."""
    architecture = coupled.architecture
    call.named["context"] = texts.context
    options = call.named["options"]
    if call.texts is not None:
        options = call.texts.add_to(options)
    image = count_tokens(call.named["x"], architecture.patch)
    call.attention = CoupledAttention(
        architecture=architecture,
        streams=texts.streams,
        refiners=architecture.refiners(model),
        rows=len(texts.context),
        image=image,
        turns=architecture.turns(model, find_place(texts, image)),
        previous=options.get(OVERRIDE),
        mode=coupled.mode,
        theta_B11=texts.theta_B11,
        padding=texts.padding,
        probe=probe,
        layout=layout,
    )
    call.named["options"] = {**options, OVERRIDE: call.attention}


def find_place(texts: Texts, image: int) -> Place:
    """Where the texts and so many image tokens are in a call."""
    s, B = texts.streams, len(texts.context)
    theta_B11 = texts.theta_B11
    if theta_B11 is None:
        theta_B11 = torch.ones(B, 1, 1, device=texts.context.device)
    theta_B = theta_B11.flatten()
    lengths_B = torch.full_like(theta_B, s.text - s.background)
    if texts.padding is not None:
        lengths_B = (texts.padding[..., s.ent] == 0).sum((1, 2, 3)).to(theta_B)
    return Place(s, theta_B, lengths_B, image)


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
    out = architecture.call(executor, named, call.kwargs)
    count_work(plate, call, count_tokens(named["x"], architecture.patch))
    return out.expand(n, *out.shape[1:]).clone() if alike else out


@torch.compiler.disable
def rows_alike(rows: dict[str, torch.Tensor]) -> bool:
    """Whether each tensor has equal rows; asked of the device once."""
    return bool(torch.stack([(value == value[:1]).all() for value in rows.values()]).all())
