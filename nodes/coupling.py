"""Nodes that encode a coupled set and couple a model."""

from collections.abc import Sequence

from comfy_api.latest import io

from ..prompts.split import lines_of
from . import inputs
from .inputs import ENTITY, FULL_PROMPT, ThetaType
from .said import name_unknown, show


def entity_texts(entities: str, entity_text: str, prompts: str | None) -> Sequence[str]:
    """The texts that the images go over to, one per image; ValueError if there are none, or too
    few.
    """
    names = lines_of(entities)
    if not names:
        raise ValueError(
            "Write one entity per line, for example `A red fox sits.`: `entities` is empty."
        )
    if entity_text == ENTITY:
        return names
    full = lines_of(prompts or "")
    if len(full) != len(names):
        raise ValueError(
            f"Connect the prompts of Split Prompts, or set `entity_text` to `{ENTITY}`:"
            f" `{FULL_PROMPT}` needs one prompt per entity, and of lines `entities` has"
            f" {len(names)}, `prompts` has {len(full)}."
        )
    return full


class CoupledTextEncode(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="CoupledTextEncode",
            display_name="Encode Coupled Prompts",
            category="coupled/prompts",
            description=(
                "Encodes one background and one entity per image into a conditioning for a coupled"
                " set. The number of entities is the number of images."
            ),
            search_aliases=[
                "coupled text encode",
                "clip text encode",
                "background prompt",
                "entity prompt",
            ],
            inputs=[
                inputs.clip(),
                io.String.Input(
                    "background",
                    multiline=True,
                    dynamic_prompts=True,
                    tooltip="What all images share: the place, the light, the style.",
                ),
                io.String.Input(
                    "entities",
                    multiline=True,
                    dynamic_prompts=True,
                    tooltip=(
                        "What only one image shows, one line per image. Blank lines are skipped."
                    ),
                ),
                inputs.guidance(
                    "Distilled guidance, one value for the whole set. 3.5 is usual for Flux.1-dev;"
                    " models without it pass it over."
                ),
                inputs.entity_text(
                    "The text that takes over as theta rises: the entity alone, as in the"
                    " paper, or the full prompt, which keeps naming the background."
                ),
                io.String.Input(
                    "prompts",
                    optional=True,
                    force_input=True,
                    tooltip=(
                        "The full prompts, one line per image, in the entities' order. Only for"
                        " `full prompt`."
                    ),
                ),
                io.Conditioning.Input(
                    "background_conditioning",
                    optional=True,
                    tooltip=(
                        "Used instead of `background`: a CLIP Text Encode followed by Apply Style"
                        " Model (Redux) or Conditioning (Concat). Those two do not work after this"
                        " node."
                    ),
                ),
            ],
            outputs=[
                io.Conditioning.Output(
                    display_name="conditioning",
                    tooltip="The whole set as one conditioning, a batch of n.",
                )
            ],
        )

    @classmethod
    def execute(
        cls,
        clip,
        background,
        entities,
        guidance=3.5,
        entity_text=ENTITY,
        prompts=None,
        background_conditioning=None,
    ) -> io.NodeOutput:
        from ..attention import encode_set
        from ..sampling.checks import check_guidance, check_text_encoder

        check_guidance(guidance)
        texts = entity_texts(entities, entity_text, prompts)
        if background_conditioning is None and not background.strip():
            raise ValueError(
                "Describe what all images share, for example `A sunny meadow.`: `background` is"
                " empty."
            )
        check_text_encoder(clip)
        conditioning = encode_set(
            clip, background.strip(), texts, guidance, background_conditioning
        )
        read = [*texts, background] if background_conditioning is None else texts
        return io.NodeOutput(conditioning, ui=show(name_unknown(clip, read)))


class CoupledModelPatch(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="CoupledModelPatch",
            display_name="Coupled Attention",
            category="coupled/sampling",
            description=(
                "Lets the model attend to background and entity with weights that change over the"
                " sampling steps. Ordinary conditionings run as they do without this node."
            ),
            search_aliases=[
                "coupled attention",
                "couple model",
                "shared background",
                "same background",
                "consistent scene",
                "plate",
                "theta",
            ],
            inputs=[
                io.Model.Input(
                    "model",
                    tooltip=(
                        "A model of a family that can be coupled: Flux, Qwen-Image, Z-Image, Krea"
                        " 2, Chroma, SD3.5, SDXL and others. It stays as it is; the output is a"
                        " patched clone."
                    ),
                ),
                ThetaType.Input(
                    "theta",
                    tooltip=(
                        "The weight of the entity at each step: 0 = background alone, 1 = entity"
                        " alone."
                    ),
                ),
                inputs.mode(
                    "local: outside the subject, each image is one and the same clean background,"
                    " which is made along with the set. exact: theta counts the same"
                    " everywhere, and a text of weight 0 costs nothing. paper: the paper's Eq. 5"
                    " as written, where a text of weight 0 still gets some attention."
                ),
                io.Latent.Input(
                    "plate",
                    optional=True,
                    tooltip=(
                        "Mode local: a picture of your own as the background, through VAE"
                        " Encode, of the images' size. The background text describes it."
                    ),
                ),
                io.Mask.Input(
                    "regions",
                    optional=True,
                    tooltip=(
                        "Mode local: where subjects may stand, one mask for all images or one for"
                        " each, of any size. Outside, an image is the background in any case."
                    ),
                ),
            ],
            outputs=[io.Model.Output(display_name="model", tooltip="The patched model.")],
        )

    @classmethod
    def execute(cls, model, theta, mode="local", plate=None, regions=None) -> io.NodeOutput:
        from ..sampling import couple

        latent = None if plate is None else plate["samples"]
        return io.NodeOutput(couple(model, theta, mode, latent, regions))


NODES = [CoupledTextEncode, CoupledModelPatch]
