"""The node that splits prompts into a shared background and each prompt's own entity."""

from __future__ import annotations

import logging
import os

import folder_paths
from comfy_api.latest import io, ui

from ..prompts.chat import split_by_chat
from ..prompts.places import find_misplaced_place
from ..prompts.split import SplitPrompts, parse_prompts

PAPER_PROMPTS = (
    "An eagle soars gracefully in a vibrant meadow under a clear blue sky, bathed in sunlight.\n"
    "A red fox runs in a vibrant meadow under a clear blue sky, bathed in sunlight."
)
NO_MODEL = "(none: put a model's folder into models/LLM)"


def model_roots() -> list[str]:
    """The host's folders for language models: those registered as LLM, and models/LLM."""
    registered = folder_paths.folder_names_and_paths.get("LLM", ([], set()))[0]
    return list(dict.fromkeys([*registered, os.path.join(folder_paths.models_dir, "LLM")]))


def model_names() -> list[str]:
    """What the model list shows."""
    from ..prompts.local import list_models

    return list_models(model_roots()) or [NO_MODEL]


def compare_words(prompts: tuple[str, ...], choice: dict) -> SplitPrompts:
    """Split by the words that the prompts share."""
    from ..prompts.rules import split_by_rules

    return split_by_rules(prompts)


def ask_server(prompts: tuple[str, ...], choice: dict) -> SplitPrompts:
    """Split by a chat server."""
    from comfy.model_management import throw_exception_if_processing_interrupted

    from ..prompts.chat import answer_format
    from ..prompts.endpoint import Endpoint

    endpoint = Endpoint(
        choice["base_url"],
        choice["model"],
        response_format=answer_format(len(prompts)),
        poll=throw_exception_if_processing_interrupted,
    )
    return split_by_chat(prompts, endpoint, f"The model '{endpoint.model}'")


def ask_folder(prompts: tuple[str, ...], choice: dict) -> SplitPrompts:
    """Split by a model folder, loaded for this one answer after the host has made room for it."""
    import comfy.model_management as management

    from ..prompts.local import find_model, load_model, weight_bytes

    folder = find_model(model_roots(), choice["model"])
    device = management.text_encoder_device()
    management.free_memory(weight_bytes(folder) * 1.2, device)
    try:
        complete = load_model(
            folder, device, poll=management.throw_exception_if_processing_interrupted
        )
        return split_by_chat(prompts, complete, f"The model '{choice['model']}'")
    finally:
        complete = None
        management.soft_empty_cache()


def ask_clip(prompts: tuple[str, ...], choice: dict) -> SplitPrompts:
    """Split by a language model that the host has loaded as CLIP."""
    from ..prompts.host_llm import complete_with_clip

    return split_by_chat(
        prompts, lambda messages: complete_with_clip(choice["clip"], messages), "The text encoder"
    )


METHODS = {
    "rules": compare_words,
    "endpoint": ask_server,
    "transformers": ask_folder,
    "text encoder": ask_clip,
}


def method_options() -> list[io.DynamicCombo.Option]:
    """The inputs of each method."""
    base_url = io.String.Input(
        "base_url",
        default="http://127.0.0.1:8000/v1",
        tooltip=(
            "Address of an OpenAI-compatible server on this machine, e.g. transformers serve or"
            " vLLM (port 8000), Ollama (http://127.0.0.1:11434/v1), LM Studio (port 1234). Other"
            " hosts are asked only if the environment variable COUPLED_ALLOWED_HOSTS names them."
            " The key is read from COUPLED_API_KEY, never from a workflow."
        ),
    )
    model = io.String.Input(
        "model", default="", tooltip="The model's name, as the server knows it."
    )
    folder = io.Combo.Input(
        "model",
        options=model_names(),
        tooltip=(
            "A folder in models/LLM that holds config.json, the tokenizer and *.safetensors of"
            " an instruction-tuned model."
        ),
    )
    clip = io.Clip.Input(
        "clip", tooltip="A language model loaded by the host as CLIP, such as Gemma or Qwen."
    )
    return [
        io.DynamicCombo.Option("rules", []),
        io.DynamicCombo.Option("endpoint", [base_url, model]),
        io.DynamicCombo.Option("transformers", [folder]),
        io.DynamicCombo.Option("text encoder", [clip]),
    ]


class CoupledSplitPrompts(io.ComfyNode):
    """Split Prompts: prompts -> background, entities, prompts."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="CoupledSplitPrompts",
            display_name="Split Prompts",
            category="coupled/prompts",
            description=(
                "Splits a set of prompts into the background that they share and the entity of each"
                " one, and shows both on the node. You can also type them by hand into Encode"
                " Coupled Prompts."
            ),
            search_aliases=[
                "coupled prompts",
                "shared background",
                "background and entity",
                "split prompt",
                "batch prompts",
                "multiple prompts",
                "storyboard",
                "LLM",
            ],
            inputs=[
                io.String.Input(
                    "prompts",
                    multiline=True,
                    dynamic_prompts=True,
                    default=PAPER_PROMPTS,
                    tooltip=(
                        "Two or more prompts, one per line; blank lines are skipped. Each becomes"
                        " one image. Describe the shared scene in the same words in all of them."
                    ),
                ),
                io.DynamicCombo.Input(
                    "method",
                    options=method_options(),
                    tooltip=(
                        "rules: compare the words of the prompts, instantly and without a model."
                        " endpoint: ask a chat server. transformers: ask a model in models/LLM."
                        " text encoder: ask a language model loaded as CLIP. The models also"
                        " understand prompts that describe one scene in different words."
                    ),
                ),
            ],
            outputs=[
                io.String.Output(
                    "background", display_name="background", tooltip="The text for all images."
                ),
                io.String.Output(
                    "entities",
                    display_name="entities",
                    tooltip="Each image's own text, one per line.",
                ),
                io.String.Output(
                    "prompts",
                    display_name="prompts",
                    tooltip="The full prompts, cleaned, one per line.",
                ),
            ],
        )

    @classmethod
    def execute(cls, prompts: str, method: dict | None = None) -> io.NodeOutput:
        # The host passes no method at all when it does not know the key.
        split = split_prompts(prompts, method or {})
        outputs = (split.background, "\n".join(split.entities), "\n".join(split.prompts))
        warning = find_misplaced_place(split)
        if warning:
            logging.warning("Coupled: Split Prompts: %s", warning)
        return io.NodeOutput(*outputs, ui=ui.PreviewText(describe_split(split, warning)))


def describe_split(split: SplitPrompts, warning: str | None) -> str:
    """What was found, for the node: a warning, the background, and each image's entity."""
    entities = [f"{i}: {entity}" for i, entity in enumerate(split.entities, 1)]
    found = "\n".join([f"Background: {split.background}", *entities])
    return f"{warning}\n{found}" if warning else found


def split_prompts(text: str, choice: dict) -> SplitPrompts:
    """Split the prompts in `text` by the method that the node's combo chose.

    ValueError with what to do.
    """
    method = METHODS.get(choice.get("method"))
    if method is None:
        raise ValueError(f"The method is not known. Choose one of: {', '.join(METHODS)}.")
    return method(parse_prompts(text), choice)


NODES = [CoupledSplitPrompts]
