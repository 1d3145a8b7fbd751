"""Nodes for what the paper compares itself with: other ways to make the same set."""

from comfy_api.latest import io

from ..prompts.split import lines_of
from . import inputs
from .said import name_unknown, show

CATEGORY = "coupled/baselines"


def run_inputs() -> list[io.Input]:
    """The inputs that all baselines have."""
    return [
        io.Model.Input("model", tooltip="The unpatched model: not that of Coupled Attention."),
        inputs.clip(),
        io.String.Input(
            "prompts",
            multiline=True,
            dynamic_prompts=True,
            tooltip="The full prompts, one line per image. Blank lines are skipped.",
        ),
        io.Latent.Input(
            "latent_image",
            tooltip=(
                "An empty latent: a batch of 1, used for every image, or one row for each image."
            ),
        ),
        inputs.seed(
            "The seed of the one noise that all images start from. To compare, use the seed of"
            " Coupled Sampler."
        ),
        inputs.steps(),
        inputs.sampler_name("How noise is removed. To compare, choose as in Coupled Sampler."),
        inputs.scheduler(),
        inputs.guidance(),
    ]


def made(clip, prompts: str, latent: dict) -> io.NodeOutput:
    """The images, and on the node the words that went unread."""
    return io.NodeOutput(latent, ui=show(name_unknown(clip, [prompts])))


def schema(
    node_id: str, display_name: str, description: str, aliases: list[str], knobs: list[io.Input]
) -> io.Schema:
    return io.Schema(
        node_id=node_id,
        display_name=display_name,
        category=CATEGORY,
        description=description,
        search_aliases=["baseline", *aliases],
        inputs=[*run_inputs(), *knobs],
        outputs=[
            io.Latent.Output(
                "latent", display_name="latent", tooltip="The images, in the prompts' order."
            )
        ],
    )


class CoupledRandomSeed(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            "CoupledRandomSeed",
            "Random Seed Baseline",
            "Makes each prompt's image with the stock model and one seed, as KSampler does. Use"
            " it to compare with a coupled set.",
            ["same seed", "fixed seed", "uncoupled"],
            [],
        )

    @classmethod
    def execute(
        cls, model, clip, prompts, latent_image, seed, steps, sampler_name, scheduler, guidance
    ) -> io.NodeOutput:
        from ..baselines import random_seed

        return made(
            clip,
            prompts,
            random_seed(
                model,
                clip,
                lines_of(prompts),
                latent_image,
                seed,
                steps,
                sampler_name,
                scheduler,
                guidance,
            ),
        )


class CoupledP2P(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            "CoupledP2P",
            "Prompt-to-Prompt Baseline",
            "Prompt-to-Prompt on Flux.1: makes the first prompt's image, and edits of it that"
            " borrow its attention. Use it to compare with a coupled set.",
            ["p2p", "attention control", "prompt edit"],
            [
                inputs.share(
                    "cross_replace",
                    0.8,
                    "The share of the steps, counted from the first, in which an edit attends to"
                    " the words it shares with the first prompt as the first image does.",
                ),
                inputs.share(
                    "self_replace",
                    0.4,
                    "The share of the steps, counted from the first, in which an edit attends to"
                    " itself as the first image does. More keeps more of the first image's layout.",
                ),
            ],
        )

    @classmethod
    def execute(
        cls,
        model,
        clip,
        prompts,
        latent_image,
        seed,
        steps,
        sampler_name,
        scheduler,
        guidance,
        cross_replace,
        self_replace,
    ) -> io.NodeOutput:
        from ..baselines import p2p

        return made(
            clip,
            prompts,
            p2p(
                model,
                clip,
                lines_of(prompts),
                latent_image,
                seed,
                steps,
                sampler_name,
                scheduler,
                guidance,
                cross_replace,
                self_replace,
            ),
        )


class CoupledRFInversion(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            "CoupledRFInversion",
            "RF-Inversion Baseline",
            "RF-inversion: turns the first prompt's image back into noise and makes it again with"
            " each other prompt. Use it to compare with a coupled set.",
            ["rf inversion", "invert", "image edit"],
            [
                inputs.share(
                    "gamma",
                    0.5,
                    "How strongly the first image is pulled toward the shared noise while it is"
                    " inverted.",
                ),
                inputs.share(
                    "eta",
                    0.9,
                    "How strongly each image is pulled toward the first one on the way back. More"
                    " keeps more of the first image.",
                ),
                io.Int.Input(
                    "start",
                    default=0,
                    min=0,
                    max=10000,
                    tooltip="The first step with the pull of eta, counted from 0.",
                ),
                io.Int.Input(
                    "stop",
                    default=-1,
                    min=-1,
                    max=10000,
                    tooltip="The first step after the pull of eta. -1: a quarter of the steps.",
                ),
            ],
        )

    @classmethod
    def execute(
        cls,
        model,
        clip,
        prompts,
        latent_image,
        seed,
        steps,
        sampler_name,
        scheduler,
        guidance,
        gamma,
        eta,
        start,
        stop,
    ) -> io.NodeOutput:
        from ..baselines import rf_inversion

        return made(
            clip,
            prompts,
            rf_inversion(
                model,
                clip,
                lines_of(prompts),
                latent_image,
                seed,
                steps,
                sampler_name,
                scheduler,
                guidance,
                gamma,
                eta,
                start,
                None if stop == -1 else stop,
            ),
        )


NODES = [CoupledRandomSeed, CoupledP2P, CoupledRFInversion]
