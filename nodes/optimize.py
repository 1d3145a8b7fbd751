"""The node that learns theta from prompt sets."""

import os
import time
from typing import Any

import folder_paths
from comfy.model_management import InterruptProcessingException
from comfy_api.latest import io, ui

from . import inputs
from .alignment import clip_options, load_clip
from .inputs import theta_output
from .segment import load_segmenter, segmenter_options
from .theta import CATEGORY
from .theta_store import check_prefix, save_schedule, schedule_root

SETS = (
    "An eagle soars gracefully in a vibrant meadow under a clear blue sky, bathed in sunlight.\n"
    "A red fox runs in a vibrant meadow under a clear blue sky, bathed in sunlight.\n\n"
    "A majestic stag standing proud in a misty forest at dawn, sunlight through trees.\n"
    "A squirrel perched on a branch in a misty forest at dawn, sunlight through trees."
)


def search_inputs() -> list[io.Input]:
    """How theta is searched for."""
    return [
        io.Int.Input(
            "budget",
            default=120,
            min=1,
            max=100000,
            tooltip=(
                "How many schedules are tried in all. With a larger budget, the next run"
                " continues where the last one ended."
            ),
        ),
        io.Float.Input(
            "minutes",
            default=0.0,
            min=0.0,
            max=1e6,
            step=1.0,
            tooltip="Stop after this many minutes, with the best schedule so far. 0: no limit.",
        ),
        io.Combo.Input(
            "weights",
            options=["stated", "tabulated", "both"],
            default="stated",
            tooltip="The weights of the score, as in Combined Score. both: the mean of the two.",
        ),
        io.Float.Input(
            "max_lost",
            default=0.25,
            min=0.0,
            max=0.9,
            step=0.05,
            tooltip=(
                "The share of the sets that a schedule may lose. A set is lost when no entity is"
                " found, when entities hide the background, or when an image suits another prompt"
                " of its set better."
            ),
        ),
        io.Float.Input(
            "coarse",
            default=1.0,
            min=0.1,
            max=1.0,
            step=0.05,
            tooltip=(
                "The share of the steps and of the resolution used while the paper's shapes are"
                " tried. 0.5 makes that part several times faster."
            ),
        ),
        io.String.Input(
            "study",
            default="theta",
            tooltip=(
                "A name. A run with the same name, models, sets and settings continues where the"
                " last one ended. Several machines can share it (see the help page). The schedule"
                " is saved under this name in output/theta."
            ),
        ),
    ]


def sampling_inputs() -> list[io.Input]:
    """How the training images are made, which should be how the user will make images."""
    return [
        inputs.seed(
            "The seed of each set's noise, the same for all schedules. More seeds count up from it."
        ),
        io.Int.Input(
            "seeds_per_set",
            default=1,
            min=1,
            max=64,
            tooltip="How many seeds each set is made with. More sets help more than more seeds.",
        ),
        inputs.steps(least=4, most=1000),
        inputs.sampler_name(
            "How noise is removed. With euler, schedules that begin alike share the work of"
            " their first steps; with other samplers they do not."
        ),
        inputs.scheduler(),
        inputs.guidance(),
        inputs.mode("As in Coupled Attention."),
        inputs.entity_text(
            "As in Encode Coupled Prompts: the text that takes over as theta rises."
        ),
    ]


class CoupledOptimizeTheta(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="CoupledOptimizeTheta",
            display_name="Optimize Theta",
            category=CATEGORY,
            description=(
                "Learns the schedule with the best combined score on your prompt sets. It tries"
                " the paper's shapes, then changes the best one at ten points, then at every step."
                " If interrupted, it keeps the best schedule, and the next run continues. Needs the"
                " package optuna."
            ),
            search_aliases=[
                "learn theta",
                "optimise theta",
                "train schedule",
                "tune theta",
                "optuna",
            ],
            inputs=[
                io.Model.Input(
                    "model", tooltip="The unpatched model: not that of Coupled Attention."
                ),
                io.Clip.Input(
                    "clip", tooltip="The text encoder of the model, for Flux CLIP-L with T5-XXL."
                ),
                io.Vae.Input("vae", tooltip="The VAE of the model."),
                io.Latent.Input(
                    "latent_image",
                    tooltip="An empty latent of your images' size, a batch of 1.",
                ),
                io.String.Input(
                    "prompt_sets",
                    multiline=True,
                    default=SETS,
                    tooltip=(
                        "The training sets, separated by blank lines. Each has two or more prompts,"
                        " one per line, and is split by rules. Give eight or more sets of the kind"
                        " you will make."
                    ),
                ),
                io.DynamicCombo.Input(
                    "segmenter",
                    options=segmenter_options(),
                    tooltip="What finds the entities, as in Segment Entities.",
                ),
                io.DynamicCombo.Input(
                    "clip_model",
                    options=clip_options(),
                    tooltip="What compares images and prompts, as in Text Alignment.",
                ),
                *search_inputs(),
                *sampling_inputs(),
            ],
            outputs=[
                theta_output(
                    "The best schedule, for Coupled Attention. It is also saved in output/theta."
                ),
                io.Image.Output(
                    "plot",
                    display_name="plot",
                    tooltip="The best schedule's curve, and the first set made with it.",
                ),
                io.String.Output(
                    "report",
                    display_name="report",
                    tooltip=(
                        "Scores of the best schedule and of the paper's shapes, how many schedules"
                        " were kept out, and the cost."
                    ),
                ),
            ],
            hidden=[io.Hidden.unique_id],
            is_output_node=True,
        )

    @classmethod
    def execute(
        cls,
        study: str,
        budget: int,
        minutes: float,
        segmenter: dict | None = None,
        clip_model: dict | None = None,
        **settings,
    ) -> io.NodeOutput:
        from ..optimize import STUDY_URL, Learning, open_storage
        from ..optimize.report import learned_schedule, report

        check_prefix(study, schedule_root())
        if not minutes >= 0:  # NaN passes the host's own minimum
            raise ValueError(f"minutes must be 0 (no limit) or more; it is {minutes}.")
        shared = os.environ.get(STUDY_URL)
        storage = open_storage(
            shared or os.path.join(folder_paths.get_user_directory(), "coupled", "studies.db")
        )
        task = task_of(budget, segmenter, clip_model, **settings)
        progress = NodeProgress(task)
        learning = Learning(task, storage, study, os.getpid() if shared else 0, progress)
        saved = None
        progress(learning)  # it says what it does before the first set is measured
        try:
            learning.run(minutes or float("inf"))
        except InterruptProcessingException:
            saved = save_best(learning, study)
            say(describe_interruption(learning, saved))
            raise
        finally:  # an error too leaves the best schedule behind
            saved = saved or save_best(learning, study)
        theta = learned_schedule(learning, study)
        text = f"{report(learning)}\nSaved {saved}"
        say("Done.")
        image_1HWC = as_image(learning)
        shown = ui.PreviewText(text).as_dict() | ui.PreviewImage(image_1HWC, cls=cls).as_dict()
        return io.NodeOutput(theta, image_1HWC, text, ui=shown)


def save_best(learning, study: str) -> str | None:
    """Saves the best schedule there is; the name of its file, None before the first candidate."""
    from ..optimize.report import learned_schedule

    if learning.best() is None:
        return None
    return save_schedule(learned_schedule(learning, study), study)


def describe_interruption(learning, saved: str | None) -> str:
    """What an interrupted learning keeps."""
    from ..optimize.report import count

    if saved is None:
        return "Interrupted before the first schedule was tried. Nothing is saved."
    tried = count(len(learning.candidates()), "schedule")
    return f"Interrupted. The best of {tried} is saved: {saved}\nThe next run continues."


def say(text: str) -> None:
    """Shows a text on the node that the host runs; nothing outside of a run."""
    from comfy_execution.utils import get_executing_context
    from server import PromptServer

    context = get_executing_context()
    if context is not None:
        host: Any = PromptServer  # its instance is set when it starts
        host.instance.send_progress_text(text, context.node_id)


def meter_of(segmenter: dict | None, clip_model: dict | None):
    """The meter that the two combos choose."""
    from ..optimize import ModelMeter

    finder, clip = dict(segmenter or {}), dict(clip_model or {})
    identity = f"{sorted(finder.items())} {sorted(clip.items())}"
    points = finder.get("points_per_side", 16)
    return ModelMeter(
        load_segmenter(finder.get("segmenter"), finder.get("checkpoint")),
        load_clip(**clip),
        identity,
        points,
        finder.get("min_score", 0.2),
    )


def task_of(
    budget: int,
    segmenter: dict | None,
    clip_model: dict | None,
    model,
    clip,
    vae,
    latent_image: dict,
    prompt_sets: str,
    seed: int,
    seeds_per_set: int,
    weights: str,
    max_lost: float,
    coarse: float,
    **settings,
):
    """The node's inputs as a task.

    ValueError if something is unfit, before the measuring models are loaded.
    """
    from ..optimize import Painter, Settings, Task, parse_sets

    seeds = [(seed + i) % (inputs.MAX_SEED + 1) for i in range(seeds_per_set)]
    painter = Painter(
        model, clip, vae, parse_sets(prompt_sets), seeds, latent_image, Settings(**settings)
    )
    return Task(
        painter, meter_of(segmenter, clip_model), weights, budget, max_lost=max_lost, coarse=coarse
    )


class NodeProgress:
    """Says how far a learning is, with a picture whenever its best schedule has changed."""

    def __init__(self, task):
        import comfy.utils

        from ..optimize.ladder import Ladder

        self.pairs = task.pairs
        self.bar = comfy.utils.ProgressBar(Ladder(task.candidates).total * task.pairs)
        self.shown: tuple[float, ...] | None = None  # theta of the picture
        self.begun: tuple[float, int] | None = None  # when, and how much was done before

    def seconds_left(self, done: int) -> float | None:
        """At the pace of this run so far; None before the first set is measured."""
        now = time.monotonic()
        self.begun = self.begun or (now, done)
        started, before = self.begun
        if done <= before:
            return None
        return (now - started) / (done - before) * (self.bar.total - done)

    def __call__(self, learning) -> None:
        from ..optimize.report import describe_progress
        from ..plots.learning import draw_learning

        picture = None
        best = learning.best()
        if best is not None and best.thetas != self.shown:
            self.shown = best.thetas
            picture = ("JPEG", draw_learning(learning), 1024)
        done = len(learning.candidates()) * self.pairs + learning.measuring
        done = min(done, self.bar.total)
        self.bar.update_absolute(done, preview=picture)
        say(describe_progress(learning, self.seconds_left(done)))


def as_image(learning):
    """The picture of a learning, [1, H, W, 3]."""
    import numpy as np
    import torch

    from ..plots.learning import draw_learning

    pixels_HWC = np.asarray(draw_learning(learning), dtype=np.float32) / 255
    return torch.from_numpy(pixels_HWC)[None]


NODES = [CoupledOptimizeTheta]
