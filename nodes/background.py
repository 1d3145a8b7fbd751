"""Nodes that score a finished set: how alike its backgrounds are, and the paper's combined
score.
"""

import math

from comfy_api.latest import io, ui

CATEGORY = "coupled/measure"
CUSTOM = "custom"


class CoupledBackgroundSimilarity(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="CoupledBackgroundSimilarity",
            display_name="Background Similarity",
            category=CATEGORY,
            description=(
                "How alike the backgrounds of a set are outside its entities (Eq. 13-15 of the"
                " paper), with a picture of where they differ. It scores images from anywhere, not"
                " only from this pack."
            ),
            search_aliases=[
                "f_bg",
                "background drift",
                "compare backgrounds",
                "same background",
                "before after",
                "psnr",
                "ssim",
                "coupled metric",
            ],
            inputs=[
                io.Image.Input("images", tooltip="The images of a set, two or more of one size."),
                io.Mask.Input(
                    "entity_masks",
                    tooltip=(
                        "One mask per image, in their order: white where the entity is. From"
                        " Segment Entities, or any other node that makes masks."
                    ),
                ),
                io.Mask.Input(
                    "region",
                    optional=True,
                    tooltip=(
                        "What to leave out in place of the entities' own joint region; several"
                        " masks count together. To compare methods fairly, give each the joint"
                        " regions of all."
                    ),
                ),
            ],
            outputs=[
                io.Float.Output(
                    "f_bg",
                    display_name="f_bg",
                    tooltip=(
                        "Minus the mean squared difference of the visible backgrounds. 0 is best;"
                        " not a number (NaN) when the set must not be scored, and the node says"
                        " why."
                    ),
                ),
                io.Float.Output(
                    "validity_ratio",
                    display_name="validity_ratio",
                    tooltip="R: the share of the picture that was compared.",
                ),
                io.Mask.Output(
                    "joint_region",
                    display_name="joint_region",
                    tooltip=(
                        "What was left out: the union of the entity masks, or the given region."
                    ),
                ),
                io.Image.Output(
                    "difference",
                    display_name="difference",
                    tooltip=(
                        "Where the backgrounds differ: dark is alike, pale yellow is a root mean"
                        " square difference of 0.3 or more. Gray was left out."
                    ),
                ),
            ],
            is_output_node=True,
        )

    @classmethod
    def execute(cls, images, entity_masks, region=None) -> io.NodeOutput:
        from ..metrics.background import background_similarity, heat_map

        region_HW = None if region is None else region.reshape(-1, *region.shape[-2:]).amax(0)
        found = background_similarity(images, entity_masks, region_HW)
        difference = heat_map(images, found.joint_region_HW)
        shown = ui.PreviewText(describe(images, found)).as_dict()
        shown |= ui.PreviewImage(difference, cls=cls).as_dict()
        joint_region_1HW = found.joint_region_HW.float()[None]
        return io.NodeOutput(
            found.f_bg, found.validity_ratio, joint_region_1HW, difference, ui=shown
        )


def describe_backgrounds(images_NHWC, masks_NHW) -> str:
    """How alike the backgrounds of a set are, in numbers, or why there are none."""
    from ..metrics.background import background_similarity

    return describe(images_NHWC, background_similarity(images_NHWC, masks_NHW))


def describe(images_NHWC, found) -> str:
    return found.reason or numbers(images_NHWC, found)


def numbers(images_NHWC, found) -> str:
    """f_bg and R, and next to the paper's the usual measures of the visible background."""
    from ..metrics.visible import lpips, psnr, ssim

    region_HW = found.joint_region_HW
    perceptual = lpips(images_NHWC, region_HW)
    parts = [
        f"PSNR {psnr(images_NHWC, region_HW):.2f} dB",
        f"SSIM {ssim(images_NHWC, region_HW):.4f}",
    ]
    parts += [] if perceptual is None else [f"LPIPS {perceptual:.4f}"]
    return f"f_bg {found.f_bg:.3e}, R {found.validity_ratio:.3f}\n{', '.join(parts)}"


class CoupledScore(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        only = f"Only used when weights is {CUSTOM}."
        return io.Schema(
            node_id="CoupledScore",
            display_name="Combined Score",
            category=CATEGORY,
            description=(
                "Background similarity and text alignment in one number, as the paper weighs them."
            ),
            search_aliases=["coupled score", "combined metric", "f_bg f_ti"],
            inputs=[
                io.Float.Input(
                    "f_bg",
                    force_input=True,
                    tooltip="Background similarity, 0 or below, from Background Similarity.",
                ),
                io.Float.Input(
                    "f_ti",
                    force_input=True,
                    tooltip=(
                        "Text alignment as 100·cos, the mean over the images, from Text Alignment."
                    ),
                ),
                io.Combo.Input(
                    "weights",
                    options=["stated", "tabulated", CUSTOM],
                    default="stated",
                    tooltip=(
                        "stated: 300·f_bg + f_ti/30, as the paper's text has it. tabulated:"
                        " 350·f_bg + f_ti/20 + 0.5, which the numbers in its tables follow. custom:"
                        " the weights below."
                    ),
                ),
                io.Float.Input(
                    "background_weight",
                    default=300.0,
                    min=0.0,
                    max=1e6,
                    step=1.0,
                    optional=True,
                    tooltip=f"The weight of f_bg. {only}",
                ),
                io.Float.Input(
                    "text_weight",
                    default=0.0333,
                    min=0.0,
                    max=1e3,
                    step=0.001,
                    round=0.0001,
                    optional=True,
                    tooltip=f"The weight of f_ti. {only}",
                ),
            ],
            outputs=[
                io.Float.Output(
                    "score",
                    display_name="score",
                    tooltip=(
                        "The sum; higher is better. Not a number (NaN) when f_bg or f_ti is none."
                    ),
                ),
                io.String.Output(
                    "report", display_name="report", tooltip="The sum written out, term by term."
                ),
            ],
            is_output_node=True,
        )

    @classmethod
    def execute(
        cls, f_bg, f_ti, weights="stated", background_weight=300.0, text_weight=0.0333
    ) -> io.NodeOutput:
        from ..metrics.score import PRESETS, Weights, combined

        preset = (
            Weights(background_weight, text_weight)
            if weights == CUSTOM
            else PRESETS.get(weights, weights)
        )
        score = combined(f_bg, f_ti, preset)
        text = report(f_bg, f_ti, score, preset)
        return io.NodeOutput(score, text, ui=ui.PreviewText(text).as_dict())


def report(f_bg: float, f_ti: float, score: float, weights) -> str:
    """The sum with its numbers, or why there is none."""
    missing = [name for name, value in (("f_bg", f_bg), ("f_ti", f_ti)) if math.isnan(value)]
    if missing:
        return (
            f"No score: {' and '.join(missing)} is not a number. The node that measured it says"
            " why: mostly an entity that was not found, or entities that hide the background."
        )
    background, text = weights.background * f_bg, weights.text * f_ti
    offset = f" + {weights.offset:g}" if weights.offset else ""
    return (
        f"score {score:.4f} = {weights.background:g} · f_bg + {weights.text:.4g} · f_ti{offset}\n"
        f"background {background:.4f} = {weights.background:g} · {f_bg:.3e}\n"
        f"text {text:.4f} = {weights.text:.4g} · {f_ti:.2f}"
    )


NODES = [CoupledBackgroundSimilarity, CoupledScore]
