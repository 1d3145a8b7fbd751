"""The nodes that make, keep and show theta-schedules."""

import logging

from comfy_api.latest import io, ui

from ..schedules import (
    ThetaSchedule,
    family,
    from_curve,
    from_values,
    parse_values,
)
from . import inputs
from .inputs import ThetaType, theta_output
from .theta_store import learned_values

CATEGORY = "coupled/theta"


def with_note(schedule: ThetaSchedule, note: str | None) -> io.NodeOutput:
    """A node's output; the note, when there is one, goes to the log and onto the node."""
    if note is None:
        return io.NodeOutput(schedule)
    logging.warning("Coupled: %s", note)
    return io.NodeOutput(schedule, ui=ui.PreviewText(note))


def expect_schedule(theta: object) -> ThetaSchedule:
    """`theta` itself. ValueError if something else came over the wire."""
    if not isinstance(theta, ThetaSchedule):
        raise ValueError(
            "theta must be a THETA_SCHEDULE, such as Theta Schedule makes, not"
            f" {type(theta).__name__}."
        )
    return theta


class CoupledThetaSchedule(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        center = io.Float.Input(
            "center",
            default=4.0,
            min=0.0,
            max=10000.0,
            step=0.5,
            tooltip=(
                "The step, of reference_steps, at which the picture turns from the background text"
                " to the entity text. 4 of 50 is the first 8 percent of any run, and one step of 4"
                " or 8. Later: backgrounds are more alike. Earlier: subjects are freer. Use 4 in"
                " mode local, and 12 or more in exact and paper."
            ),
        )
        return io.Schema(
            node_id="CoupledThetaSchedule",
            display_name="Theta Schedule",
            category=CATEGORY,
            description=(
                "Sets when the background text hands over to the entity text. theta is the weight"
                " of the entity text at each sampling step: 0 = background alone, 1 = entity alone."
            ),
            search_aliases=["theta", "coupled schedule", "entity weight", "background sharing"],
            inputs=[
                io.DynamicCombo.Input(
                    "shape",
                    options=[
                        io.DynamicCombo.Option("sin", [center, _k_input(0.8)]),
                        io.DynamicCombo.Option("arctan", [center, _k_input(0.5)]),
                        io.DynamicCombo.Option("01", [center]),
                        io.DynamicCombo.Option(
                            "constant",
                            [
                                io.Float.Input(
                                    "value",
                                    default=0.5,
                                    min=0.0,
                                    max=1.0,
                                    step=0.01,
                                    tooltip=(
                                        "theta at every step: 0 = background text alone, 1 = entity"
                                        " text alone."
                                    ),
                                )
                            ],
                        ),
                        io.DynamicCombo.Option(
                            "drawn",
                            [
                                io.String.Input(
                                    "values",
                                    default="0, 0, 0, 0.15, 0.85, 1, 1, 1, 1, 1",
                                    tooltip=(
                                        "theta at points spread evenly over the steps, written as"
                                        " in Theta From Values. Drawing on the curve fills them in."
                                    ),
                                    extra_dict={"learned": learned_values()},
                                )
                            ],
                        ),  # for the page: the curve's presets
                    ],
                    tooltip=(
                        "sin: a smooth hand-over that ends at 0 and 1. arctan: smooth, never quite"
                        " 0 or 1. 01: all at once. constant: the same weight at every step. drawn:"
                        " by hand, on the curve."
                    ),
                ),
                io.Int.Input(
                    "reference_steps",
                    default=50,
                    min=1,
                    max=10000,
                    tooltip=(
                        "The number of steps that center and k are meant for. "
                        "At another number of sampling steps the shape is scaled to fit."
                    ),
                ),
            ],
            outputs=[theta_output()],
        )

    @classmethod
    def execute(cls, shape: dict | None = None, reference_steps: int = 50) -> io.NodeOutput:
        shape = shape or {}  # the host passes none at all when it does not know the key
        if shape.get("shape") == "drawn":
            return with_note(*from_values(parse_values(shape.get("values", "")), name="drawn"))
        parameters = {key: value for key, value in shape.items() if key != "shape"}
        if shape.get("shape") != "constant":
            parameters["reference_steps"] = reference_steps
        return io.NodeOutput(family(str(shape.get("shape")), **parameters))


def _k_input(default: float) -> io.Float.Input:
    return io.Float.Input(
        "k",
        default=default,
        min=0.01,
        max=100.0,
        step=0.05,
        tooltip="How steep the hand-over is. Higher: fewer steps between background and entity.",
    )


class CoupledThetaValues(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="CoupledThetaValues",
            display_name="Theta From Values",
            category=CATEGORY,
            description=(
                "Makes a schedule from a list of numbers, one per step. If they fall or leave"
                " [0, 1], the nearest list that does not is used (isotonic regression), and a note"
                " says so."
            ),
            search_aliases=["theta values", "custom theta", "theta list"],
            inputs=[
                io.String.Input(
                    "values",
                    multiline=True,
                    default="0, 0, 0, 0.15, 0.85, 1, 1, 1, 1, 1",
                    tooltip=(
                        "theta at each step, separated by commas, spaces or line breaks. At another"
                        " number of steps the list is stretched, with straight lines between its"
                        " numbers."
                    ),
                )
            ],
            outputs=[theta_output()],
        )

    @classmethod
    def execute(cls, values: str) -> io.NodeOutput:
        return with_note(*from_values(parse_values(values)))


class CoupledThetaCurve(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="CoupledThetaCurve",
            display_name="Theta From Curve",
            category=CATEGORY,
            description=(
                "Makes a schedule from a drawn curve: x is the progress of sampling, y is theta."
                " If the curve falls, the nearest curve that does not is used, and a note says so."
            ),
            search_aliases=["theta curve", "draw theta", "curve editor"],
            inputs=[
                io.Curve.Input(
                    "curve",
                    socketless=False,
                    default=[(0.0, 0.0), (0.2, 0.0), (0.28, 1.0), (1.0, 1.0)],
                    tooltip=(
                        "x: progress of sampling, from noise (0) to picture (1). y: the weight of"
                        " the entity text. Draw it here, or connect a Curve Editor."
                    ),
                )
            ],
            outputs=[theta_output()],
        )

    @classmethod
    def execute(cls, curve: object) -> io.NodeOutput:
        from comfy_api.input import (
            CurveInput,
        )  # only loads after comfy_api.latest, whatever order a sorter gives them

        try:
            curve = CurveInput.from_raw(curve)
        except (TypeError, ValueError, KeyError, OverflowError) as error:
            raise ValueError(
                'The curve is not in the curve editor\'s format: it needs {"points": [[x, y], ...]}'
                ", two numbers per point. Connect a Curve Editor."
            ) from error
        return with_note(*from_curve(curve))


class CoupledThetaPlot(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="CoupledThetaPlot",
            display_name="Plot Theta",
            category=CATEGORY,
            description=("Draws a schedule, and gives its values as text for Theta From Values."),
            search_aliases=["plot theta", "show schedule", "theta graph"],
            inputs=[
                ThetaType.Input("theta", tooltip="The schedule to show."),
                inputs.steps(),
            ],
            outputs=[
                io.Image.Output(
                    "image",
                    display_name="image",
                    tooltip="The plot: theta over the sampling steps.",
                ),
                io.String.Output(
                    "values",
                    display_name="values",
                    tooltip="theta at each step, one value per step.",
                ),
            ],
            is_output_node=True,
        )

    @classmethod
    def execute(cls, theta: ThetaSchedule, steps: int) -> io.NodeOutput:
        import numpy as np
        import torch

        from ..plots.theta import draw_theta

        values = expect_schedule(theta).values(steps)
        pixels_HWC = np.asarray(draw_theta(theta, steps), dtype=np.float32) / 255
        image_1HWC = torch.from_numpy(pixels_HWC).unsqueeze(0)
        text = ", ".join(f"{value:.6g}" for value in values)
        return io.NodeOutput(image_1HWC, text, ui=ui.PreviewImage(image_1HWC, cls=cls))


NODES = [
    CoupledThetaSchedule,
    CoupledThetaValues,
    CoupledThetaCurve,
    CoupledThetaPlot,
]
