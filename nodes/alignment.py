"""The node that measures how well each image shows its prompt."""

import os
from pathlib import Path

import folder_paths
from comfy_api.latest import io, ui

from ..prompts.split import lines_of

CATEGORY = "coupled/measure"
FOLDERS = ("open_clip", "clip_vision")
ENDINGS = (".safetensors", ".bin", ".pt", ".pth")
NAMED_SET = "(the named set)"

folder_paths.add_model_folder_path(FOLDERS[0], os.path.join(folder_paths.models_dir, FOLDERS[0]))


def weights_files() -> dict[str, str]:
    """What the list shows, weights only (the host filters no folder that a pack added) -> the
    folder it lies in.
    """
    return {
        name: folder
        for folder in reversed(FOLDERS)
        for name in folder_paths.get_filename_list(folder)
        if name.lower().endswith(ENDINGS)
    }


def clip_options() -> list[io.DynamicCombo.Option]:
    """The inputs of each kind of CLIP."""
    return [
        io.DynamicCombo.Option(
            "open_clip",
            [
                io.String.Input(
                    "model",
                    default="ViT-B-32",
                    tooltip=(
                        "open_clip's name of the model, such as ViT-B-32 or ViT-L-14. OpenAI's own"
                        " weights in a file: the names that end in -quickgelu."
                    ),
                ),
                io.Combo.Input(
                    "weights",
                    options=[NAMED_SET, *sorted(weights_files())],
                    tooltip=(
                        "A file of models/open_clip or models/clip_vision in open_clip's own"
                        " layout, or the set named below."
                    ),
                ),
                io.String.Input(
                    "pretrained",
                    default="openai",
                    tooltip=(
                        "open_clip's name of a set of weights, for `(the named set)`: openai,"
                        " laion2b_s34b_b79k, … It must be on this machine, unless"
                        " COUPLED_ALLOW_DOWNLOADS=1 is set in ComfyUI's environment."
                    ),
                ),
            ],
        ),
        io.DynamicCombo.Option("mini", []),
    ]


class CoupledTextAlignment(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="CoupledTextAlignment",
            display_name="Text Alignment",
            category=CATEGORY,
            description="How well each image shows its prompt, by CLIP: f_ti, higher is better.",
            search_aliases=["clip score", "CLIP similarity", "prompt adherence", "f_ti"],
            inputs=[
                io.Image.Input("images", tooltip="The images, in the order of the prompts."),
                io.String.Input(
                    "prompts",
                    multiline=True,
                    tooltip="The full prompts, one per line, one for each image.",
                ),
                io.DynamicCombo.Input(
                    "clip_model",
                    options=clip_options(),
                    tooltip=(
                        "open_clip: any CLIP of that package, which must be installed. mini: a"
                        " small one that ships with the pack, for images of Mini Flux only."
                    ),
                ),
                io.Combo.Input(
                    "convention",
                    options=["100*cos", "hessel"],
                    default="100*cos",
                    tooltip=(
                        "100*cos: the prompt as it is, 100 × cosine, as in the paper. hessel: 2.5 ×"
                        ' cosine with "A photo depicts " before the prompt, as CLIPScore.'
                    ),
                ),
            ],
            outputs=[
                io.Float.Output("f_ti", display_name="f_ti", tooltip="The mean over the images."),
                io.String.Output(
                    "per_image",
                    display_name="per_image",
                    tooltip="One line per image: its score and its prompt.",
                ),
            ],
        )

    @classmethod
    def execute(
        cls, images, prompts: str, clip_model: dict | None = None, convention="100*cos"
    ) -> io.NodeOutput:
        from ..metrics.alignment import check_prompts, text_alignment

        lines = lines_of(prompts)
        check_prompts(images, lines)  # before a model is loaded
        scores = text_alignment(load_clip(**(clip_model or {})), images, lines, convention)
        mean = sum(scores) / len(scores)
        report = "\n".join(
            f"{score:.2f}  {line}" for score, line in zip(scores, lines, strict=True)
        )
        return io.NodeOutput(
            mean, report, ui=ui.PreviewText(f"f_ti {mean:.2f}\n{report}").as_dict()
        )


def load_clip(
    clip_model: str = "", model: str = "", weights: str = NAMED_SET, pretrained: str = ""
):
    """The ClipModel that the node's combo chose. ValueError, FileNotFoundError with what to do."""
    from ..metrics.clip import load_open_clip

    if clip_model == "mini":
        from ..mini.clip import load_mini_clip

        return load_mini_clip()
    if clip_model != "open_clip":
        raise ValueError("The CLIP model is not known. Choose one of: open_clip, mini.")
    return load_open_clip(model.strip(), weights_path(weights), pretrained.strip())


def weights_path(name: str) -> Path | None:
    """The chosen file inside the host's folders; None for the named set."""
    if name == NAMED_SET:
        return None
    path = folder_paths.get_full_path(weights_files().get(name, FOLDERS[0]), name)
    if path is None or not path.lower().endswith(ENDINGS):
        raise FileNotFoundError(
            f"There is no CLIP weights file {name!r} in models/open_clip or models/clip_vision. "
            "Put it there, press R, and choose it. The model `mini` needs none."
        )
    return Path(path)


NODES = [CoupledTextAlignment]
