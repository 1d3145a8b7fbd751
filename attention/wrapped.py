"""A place for our DIFFUSION_MODEL wrapper in a class of the host's that has none."""

from typing import Any

from .architectures import KEYWORD

WRAPPERS = "coupled"  # our key among a model's wrappers


def run_wrapped(model: Any, x, timesteps, context=None, y=None, control=None, **kwargs):
    """In place of the model's forward: the same, through our wrapper where the call has one."""
    from comfy.patcher_extension import (
        WrapperExecutor,
        WrappersMP,
        get_wrappers_with_key,
    )

    options = kwargs.pop(KEYWORD, {})
    ours = get_wrappers_with_key(WrappersMP.DIFFUSION_MODEL, WRAPPERS, options)
    executor = WrapperExecutor.new_class_executor(forward_of(model), model, ours)
    return executor.execute(x, timesteps, context, y, control, options, **kwargs)


def forward_of(model: Any):
    """The host's own, whatever stands in its place on this object."""
    return type(model).forward.__get__(model)
