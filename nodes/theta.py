"""The nodes that make, keep and show theta-schedules."""

import json
import logging
import os
import re
from pathlib import Path

import folder_paths
from comfy_api.latest import io, ui

from ..schedules import (
    ThetaSchedule,
    family,
    from_curve,
    from_values,
    parse_values,
    read_schedule,
    write_schedule,
)
from ..schedules.files import lies_within

CATEGORY = "coupled/theta"
FOLDER = "theta"  # models/theta and output/theta
SAVED = " [output]"  # marks the files of output/theta in the list, as the host marks its own
LEARNED = " [learned]"  # marks those that ship with the pack
SHIPPED = Path(__file__).resolve().parent.parent / "schedules" / "learned"
MAX_PREFIX = 200  # bytes: file systems take 255, and a number follows

ThetaType = io.Custom("THETA_SCHEDULE")

folder_paths.add_model_folder_path(FOLDER, os.path.join(folder_paths.models_dir, FOLDER))


def theta_output(
    tooltip: str = "The schedule, for Coupled Attention, Plot Theta or Save Theta.",
) -> io.Output:
    """The THETA_SCHEDULE output that the schedule makers share."""
    return ThetaType.Output("theta", display_name="theta", tooltip=tooltip)


def with_note(schedule: ThetaSchedule, note: str | None) -> io.NodeOutput:
    """A node's output; the note, when there is one, goes to the log and onto the node."""
    if note is None:
        return io.NodeOutput(schedule)
    logging.warning("Coupled: %s", note)
    return io.NodeOutput(schedule, ui=ui.PreviewText(note))


def checked_theta(theta: object) -> ThetaSchedule:
    """`theta` itself. ValueError when something else came over the wire."""
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
                "The step at which the picture turns from the background text to the entity text."
                " Later: backgrounds more alike. Earlier: subjects more free. 4 suits the mode"
                " local; exact and paper want 12 or more."
            ),
        )
        return io.Schema(
            node_id="CoupledThetaSchedule",
            display_name="Theta Schedule",
            category=CATEGORY,
            description=(
                "When the background text hands over to the entity text. theta is the weight of the"
                " entity text at each sampling step: 0 = background alone, 1 = entity alone."
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
                                        "theta at points spread evenly over the steps, as Theta"
                                        " From Values takes them. Drawing on the curve writes them."
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
                        "At another number of sampling steps the shape scales with them."
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


def learned_values() -> dict[str, str]:
    """The schedules that ship with the pack, by name, as the text of `values`."""
    files = {
        path.stem: json.loads(path.read_text(encoding="utf-8"))
        for path in sorted(SHIPPED.glob("*.json"))
    }
    return {
        name: ", ".join(f"{theta:.4g}" for theta in file["values"]) for name, file in files.items()
    }


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
                "A schedule from a list of numbers, one per step. Numbers that fall or leave [0, 1]"
                " are replaced by the nearest list that does not (isotonic regression), with a"
                " note."
            ),
            search_aliases=["theta values", "custom theta", "theta list"],
            inputs=[
                io.String.Input(
                    "values",
                    multiline=True,
                    default="0, 0, 0, 0.15, 0.85, 1, 1, 1, 1, 1",
                    tooltip=(
                        "theta of each step, separated by commas, spaces or lines. At another"
                        " number of steps the list is stretched, with straight lines between."
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
                "A schedule drawn with the curve editor: x is the progress of sampling, y is theta."
                " Where the curve falls it is replaced by the nearest curve that does not, with a"
                " note."
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
                'The curve is not one of the curve editor\'s: it needs {"points": [[x, y], ...]} '
                "with two numbers a point."
            ) from error
        return with_note(*from_curve(curve))


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
                        "The beginning of the file's name, within output/theta; a number follows. "
                        "It may name a folder in there: portraits/theta."
                    ),
                ),
            ],
            outputs=[],
            is_output_node=True,
        )

    @classmethod
    def execute(cls, theta: ThetaSchedule, filename_prefix: str) -> io.NodeOutput:
        return io.NodeOutput(
            ui=ui.PreviewText(f"Saved {save_schedule(checked_theta(theta), filename_prefix)}")
        )


def save_schedule(schedule: ThetaSchedule, filename_prefix: str) -> str:
    """Writes a new file into output/theta; its path from the output folder on."""
    root = schedule_root()
    folder, filename, counter, _, _ = folder_paths.get_save_image_path(
        checked_prefix(filename_prefix, root), root
    )
    path = os.path.join(folder, f"{filename}_{counter:05}_.json")
    write_schedule(schedule, path)
    return os.path.relpath(path, folder_paths.get_output_directory())


def schedule_root() -> str:
    """The folder of the schedules that were saved."""
    return os.path.join(folder_paths.get_output_directory(), FOLDER)


def checked_prefix(prefix: str, root: str) -> str:
    """`prefix` with forward slashes.

    ValueError when it could leave `root` or is no file name everywhere.
    """
    parts = prefix.strip().replace("\\", "/").split("/")
    bad = len(prefix.encode(errors="replace")) > MAX_PREFIX or any(
        part.strip(" .") == ""
        or part != part.rstrip(" .")
        or not part.isprintable()
        or re.search(r'[<>:"|?*]', part)
        for part in parts
    )
    if bad or not lies_within(root, os.path.join(root, *parts)):
        raise ValueError(
            f"filename_prefix {prefix[:80]!r} is not a name inside output/{FOLDER}. "
            'Use letters, digits, "-" and "_", and "/" for a folder in there: portraits/theta.'
        )
    return "/".join(parts)


class CoupledThetaLoad(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="CoupledThetaLoad",
            display_name="Load Theta",
            category=CATEGORY,
            description=(
                "Reads a schedule from the folder models/theta, one that Save Theta or Optimize"
                " Theta wrote, or one that was learned and ships with the pack."
            ),
            search_aliases=["load theta", "import schedule", "theta preset"],
            inputs=[
                io.Combo.Input(
                    "schedule",
                    options=list_schedules(),
                    tooltip=(
                        "A JSON file of models/theta or, marked [output], of output/theta; those"
                        " marked [learned] ship with the pack. Press R to see files that are new."
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


def schedule_folders() -> dict[str, list[str]]:
    """Where schedules lie, by the mark that their names get: models/theta, output/theta, and the
    pack's own.
    """
    return {
        "": folder_paths.get_folder_paths(FOLDER),
        SAVED: [schedule_root()],
        LEARNED: [str(SHIPPED)],
    }


def list_schedules() -> list[str]:
    """The JSON files of models/theta, then those of output/theta marked [output], then the pack's
    marked [learned].
    """
    names = []
    for mark, folders in schedule_folders().items():
        # A model folder added by a pack takes files of every kind: only .json may be offered.
        found = {
            file.replace(os.sep, "/")
            for folder in folders
            for file in folder_paths.recursive_search(folder, [".git"])[0]
            if file.lower().endswith(".json")
        }
        names += [file + mark for file in sorted(found)]
    return names


def schedule_path(name: str) -> str:
    """The file that a name of `list_schedules` stands for.

    ValueError for a path that leaves its folder.
    """
    mark = next((mark for mark in (SAVED, LEARNED) if name.endswith(mark)), "")
    file = name.removesuffix(mark)
    for folder in schedule_folders()[mark]:
        path = os.path.join(folder, file)
        inside = file.lower().endswith(".json") and lies_within(folder, path)
        if inside and os.path.isfile(path):
            return path
    raise ValueError(
        f"There is no schedule {name[:80]!r} in models/{FOLDER}, in output/{FOLDER}, or in the"
        " pack. Press R to refresh the list, and choose one from it."
    )


class CoupledThetaPlot(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="CoupledThetaPlot",
            display_name="Plot Theta",
            category=CATEGORY,
            description=(
                "A picture of a schedule, and its values as text that Theta From Values takes."
            ),
            search_aliases=["plot theta", "show schedule", "theta graph"],
            inputs=[
                ThetaType.Input("theta", tooltip="The schedule to show."),
                io.Int.Input(
                    "steps", default=50, min=1, max=10000, tooltip="The number of sampling steps."
                ),
            ],
            outputs=[
                io.Image.Output(
                    "image",
                    display_name="image",
                    tooltip="The plot: theta over the sampling steps.",
                ),
                io.String.Output(
                    "values", display_name="values", tooltip="theta of each step, one per step."
                ),
            ],
            is_output_node=True,
        )

    @classmethod
    def execute(cls, theta: ThetaSchedule, steps: int) -> io.NodeOutput:
        import numpy as np
        import torch

        from ..plots.theta import draw_theta

        values = checked_theta(theta).values(steps)
        pixels_HWC = np.asarray(draw_theta(theta, steps), dtype=np.float32) / 255
        image_1HWC = torch.from_numpy(pixels_HWC).unsqueeze(0)
        text = ", ".join(f"{value:.6g}" for value in values)
        return io.NodeOutput(image_1HWC, text, ui=ui.PreviewImage(image_1HWC, cls=cls))


NODES = [
    CoupledThetaSchedule,
    CoupledThetaValues,
    CoupledThetaCurve,
    CoupledThetaSave,
    CoupledThetaLoad,
    CoupledThetaPlot,
]
