"""The nodes that sample a coupled set: one noise for all its images."""

from comfy_api.latest import io

from . import inputs
from .said import show

CATEGORY = "coupled/sampling"
NOT_COUPLED = (
    "Not coupled: Coupled Attention is bypassed or missing. The images share their noise, not their"
    " background."
)

ALIKE = "the pictures are nearly the same in"


class SharedNoise:
    """The host's NOISE: a seed, and the noise it gives to a latent; here the same for every image
    of the batch.
    """

    def __init__(self, seed: int):
        self.seed = seed

    def generate_noise(self, latent: dict):
        """Noise [B, C, H, W] for a LATENT of that shape, all rows alike."""
        from ..sampling import draw_shared_noise

        return draw_shared_noise(latent, self.seed, latent["samples"].shape[0])


class CoupledNoise(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="CoupledNoise",
            display_name="Coupled Noise",
            category=CATEGORY,
            description=(
                "One random noise, the same for every image of a batch, for SamplerCustomAdvanced. "
                "A batch of one gets what RandomNoise gives."
            ),
            search_aliases=["shared noise", "same noise", "random noise", "coupled seed"],
            inputs=[
                inputs.seed(
                    "The seed of the noise. The same seed gives the same noise to every image,"
                    " and in every run.",
                    name="noise_seed",
                )
            ],
            outputs=[
                io.Noise.Output("noise", display_name="noise", tooltip="For SamplerCustomAdvanced.")
            ],
        )

    @classmethod
    def execute(cls, noise_seed: int) -> io.NodeOutput:
        return io.NodeOutput(SharedNoise(noise_seed))


class CoupledSampler(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="CoupledSampler",
            display_name="Coupled Sampler",
            category=CATEGORY,
            description=(
                "Makes all images of a coupled set with one noise, and previews all of them. "
                "When memory is short it makes fewer at a time; the images stay the same."
            ),
            search_aliases=[
                "coupled ksampler",
                "lockstep sampler",
                "sample set",
                "consistent background",
                "consistent scene",
                "image set",
                "storyboard",
            ],
            inputs=[
                io.Model.Input("model", tooltip="A model patched by Coupled Attention."),
                io.Conditioning.Input(
                    "positive", tooltip="The texts of the set, from Encode Coupled Prompts."
                ),
                io.Latent.Input(
                    "latent_image",
                    tooltip=(
                        "A batch of 1, used for every image of the set, or one row for each image."
                    ),
                ),
                inputs.seed("The seed of the one noise that all images start from."),
                inputs.steps("The number of sampling steps. Theta is stretched to fit it."),
                inputs.sampler_name(
                    "How noise is removed. A sampler that adds noise during sampling adds the"
                    " same noise to every image."
                ),
                inputs.scheduler(),
                inputs.share(
                    "denoise",
                    1.0,
                    "1 starts from pure noise; less keeps more of latent_image. Theta follows"
                    " the noise level: at 0.4 the run uses the last 40 % of theta. Below 1, mode"
                    " local needs the same starting latent for all images.",
                ),
                io.Int.Input(
                    "images_per_pass",
                    default=0,
                    min=0,
                    max=4096,
                    tooltip=(
                        "How many images are made at once. 0: all of them, or fewer when memory is"
                        " short. This changes speed and memory use, not the images."
                    ),
                ),
                io.Conditioning.Input(
                    "negative",
                    optional=True,
                    tooltip="What the images should not show. Only needed when cfg is not 1.",
                ),
                io.Float.Input(
                    "cfg",
                    default=1.0,
                    min=0.0,
                    max=100.0,
                    step=0.1,
                    round=0.01,
                    optional=True,
                    tooltip=(
                        "Strength of the negative prompt. Flux.1-dev and models for 4 or 8 steps"
                        " are made for 1, which uses no negative prompt and takes half the time."
                        " Others need more, such as 4 for Qwen-Image."
                    ),
                ),
            ],
            outputs=[
                io.Latent.Output(
                    "latent", display_name="latent", tooltip="The images of the set, in order."
                ),
                io.Latent.Output(
                    "plate",
                    display_name="plate",
                    tooltip="Mode local: the background without any subject.",
                ),
                io.Mask.Output(
                    "entity_masks",
                    display_name="entity_masks",
                    tooltip=(
                        "The part of each image that is its own: outside it, all images are the"
                        " plate. In the other modes, all of it."
                    ),
                ),
            ],
        )

    @classmethod
    def execute(
        cls,
        model,
        positive,
        latent_image,
        seed,
        steps,
        sampler_name,
        scheduler,
        denoise,
        images_per_pass,
        negative=None,
        cfg=1.0,
    ) -> io.NodeOutput:
        from ..attention import coupled_mode
        from ..attention.report import Report
        from ..sampling import sample_set

        report = Report()
        latent = sample_set(
            model,
            positive,
            latent_image,
            seed,
            steps,
            sampler_name,
            scheduler,
            denoise,
            images_per_pass,
            negative,
            cfg,
            report=report,
        )
        said = describe_run(report, latent["samples"], coupled_mode(model) is not None)
        return io.NodeOutput(latent, *plate_outputs(model, latent, report), ui=show(said))


def describe_run(report, samples, coupled: bool) -> list[str]:
    """What the run cost, how alike the images came out, and what went wrong."""
    from ..sampling.alike import share_alike

    said = [*report.lines(), *report.warnings()] if coupled else [NOT_COUPLED]
    if not report.passes and len(samples) > 1:  # with a plate, its lines say it
        said.append(f"{ALIKE} {share_alike(samples):.0%} of a picture")
    return said


def plate_outputs(model, latent, report) -> tuple:
    """The plate as a LATENT and the entities' masks. In a mode without a plate all of each image is
    its own.
    """
    import torch

    from ..sampling.decode import NoPlate

    scale = getattr(model.get_model_object("latent_format"), "spacial_downscale_ratio", 8)
    plate_1CHW = report.plate()
    if plate_1CHW is not None:
        return {"samples": plate_1CHW}, report.masks(scale)
    n, *_, height, width = latent["samples"].shape
    return NoPlate(), torch.ones(n, height * scale, width * scale)


NODES = [CoupledNoise, CoupledSampler]
