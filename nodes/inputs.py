"""Inputs and outputs that several nodes have, each declared once."""

from typing import Any

from comfy_api.latest import io

MAX_SEED = 0xFFFFFFFFFFFFFFFF
ENTITY = "entity"
FULL_PROMPT = "full prompt"

ThetaType = io.Custom("THETA_SCHEDULE")


def clip() -> io.Input:
    return io.Clip.Input(
        "clip", tooltip="The text encoder of the model, for Flux CLIP-L with T5-XXL."
    )


def seed(tooltip: str, name: str = "seed") -> io.Input:
    return io.Int.Input(
        name, default=0, min=0, max=MAX_SEED, control_after_generate=True, tooltip=tooltip
    )


def steps(
    tooltip: str = "The number of sampling steps.", least: int = 1, most: int = 10000
) -> io.Input:
    return io.Int.Input("steps", default=50, min=least, max=most, tooltip=tooltip)


def sampler_name(tooltip: str) -> io.Input:
    from comfy.samplers import KSampler

    return io.Combo.Input(
        "sampler_name", options=KSampler.SAMPLERS, default="euler", tooltip=tooltip
    )


def scheduler() -> io.Input:
    from comfy.samplers import KSampler

    return io.Combo.Input(
        "scheduler",
        options=KSampler.SCHEDULERS,
        default="simple",
        tooltip="How the noise levels are spread over the steps.",
    )


def guidance(tooltip: str = "Distilled guidance. 3.5 is usual for Flux.1-dev.") -> io.Input:
    return io.Float.Input("guidance", default=3.5, min=0.0, max=100.0, step=0.1, tooltip=tooltip)


def share(name: str, default: float, tooltip: str, **limits: Any) -> io.Input:
    """A number from 0 to 1, unless `limits` narrow it."""
    limits = {"min": 0.0, "max": 1.0, "step": 0.01, **limits}
    return io.Float.Input(name, default=default, tooltip=tooltip, **limits)


def mode(tooltip: str) -> io.Input:
    from ..attention.modes import DEFAULT, MODES

    return io.Combo.Input("mode", options=list(MODES), default=DEFAULT, tooltip=tooltip)


def entity_text(tooltip: str) -> io.Input:
    return io.Combo.Input(
        "entity_text", options=[ENTITY, FULL_PROMPT], default=ENTITY, tooltip=tooltip
    )


def theta_output(
    tooltip: str = "The schedule, for Coupled Attention, Plot Theta or Save Theta.",
) -> io.Output:
    return ThetaType.Output("theta", display_name="theta", tooltip=tooltip)
