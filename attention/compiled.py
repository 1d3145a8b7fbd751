"""torch.compile with coupled calls."""

import dataclasses
from contextlib import AbstractContextManager, nullcontext

import torch

from .conditioning import has_background
from .plate_run import PLATE


@dataclasses.dataclass(frozen=True)
class CoupledApply:
    """APPLY_MODEL wrapper of each model call: turns torch.compile off where it is not safe."""

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
