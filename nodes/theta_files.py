"""The nodes that save and load theta-schedules."""

import os

from comfy_api.latest import io, ui

from ..schedules import ThetaSchedule, read_schedule
from .inputs import ThetaType, theta_output
from .theta import CATEGORY, expect_schedule
from .theta_store import list_schedules, save_schedule, schedule_path


class CoupledThetaSave(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="CoupledThetaSave",
            display_name="Save Theta",
            category=CATEGORY,
            description=(
                "Writes a schedule as a JSON file into the folder theta of the output folder, "
                "where Load Theta finds it."
            ),
            search_aliases=["save theta", "export schedule"],
            inputs=[
                ThetaType.Input("theta", tooltip="The schedule to save."),
                io.String.Input(
                    "filename_prefix",
                    default="theta",
                    tooltip=(
                        "The beginning of the file's name in output/theta; a number is added. "
                        "It may include a folder: portraits/theta."
                    ),
                ),
            ],
            outputs=[],
            is_output_node=True,
        )

    @classmethod
    def execute(cls, theta: ThetaSchedule, filename_prefix: str) -> io.NodeOutput:
        return io.NodeOutput(
            ui=ui.PreviewText(f"Saved {save_schedule(expect_schedule(theta), filename_prefix)}")
        )


class CoupledThetaLoad(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="CoupledThetaLoad",
            display_name="Load Theta",
            category=CATEGORY,
            description=(
                "Reads a schedule: one from the folder models/theta, one that Save Theta or"
                " Optimize Theta wrote, or a learned one that ships with the pack."
            ),
            search_aliases=["load theta", "import schedule", "theta preset"],
            inputs=[
                io.Combo.Input(
                    "schedule",
                    options=list_schedules(),
                    tooltip=(
                        "A JSON file from models/theta. Files marked [output] are in output/theta;"
                        " those marked [learned] ship with the pack. Press R to see new files."
                    ),
                )
            ],
            outputs=[theta_output()],
        )

    @classmethod
    def execute(cls, schedule: str) -> io.NodeOutput:
        return io.NodeOutput(read_schedule(schedule_path(schedule)))

    @classmethod
    def fingerprint_inputs(cls, schedule: str | None) -> str | float:
        if (
            schedule is None
        ):  # linked, so not yet known: a new NaN is unlike any fingerprint, so the file is read
            return float("nan")
        state = os.stat(schedule_path(schedule))
        return f"{schedule} {state.st_mtime_ns} {state.st_size}"


NODES = [CoupledThetaSave, CoupledThetaLoad]
