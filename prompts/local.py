"""A causal language model from a folder on disk, run by the transformers library.

Nothing is downloaded and no code of the model's folder is run: safetensors and the library's own
classes only.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from .chat import Complete, Messages

MIN_ANSWER = 32  # tokens that must be left for the answer


def list_models(roots: Sequence[str | os.PathLike]) -> list[str]:
    """Names of the folders in `roots` with a config.json, one or two levels deep, with "/" as
    separator.
    """
    found = set()
    for root in map(Path, roots):
        for config in (*root.glob("*/config.json"), *root.glob("*/*/config.json")):
            found.add(config.parent.relative_to(root).as_posix())
    return sorted(name for name in found if any(find_contained(Path(root), name) for root in roots))


def find_contained(root: Path, name: str) -> Path | None:
    """The folder `name` in `root`, links followed; None when it lies elsewhere or is none."""
    if not name or "\0" in name or os.path.isabs(name):
        return None
    base, folder = root.resolve(), (root / name).resolve()
    return folder if folder != base and folder.is_relative_to(base) and folder.is_dir() else None


def find_model(roots: Sequence[str | os.PathLike], name: str) -> Path:
    """The folder of a model.

    ValueError if it is not in `roots` or is not a safetensors model.
    """
    folder = next(filter(None, (find_contained(Path(root), name) for root in roots)), None)
    if folder is None:
        raise ValueError(
            f"There is no language model '{name}' in {' or '.join(map(str, roots))}. Put a model's"
            " folder (config.json, tokenizer, *.safetensors) there and reload the page."
        )
    if not (folder / "config.json").is_file() or not any(folder.glob("*.safetensors")):
        raise ValueError(
            f"The folder '{name}' needs a config.json and weights as *.safetensors (pickled .bin"
            " files are not read)."
        )
    return folder


def weight_bytes(folder: Path) -> int:
    """Size of the model's weights."""
    return sum(path.stat().st_size for path in folder.glob("*.safetensors"))


def load_model(
    folder: Path,
    device: str = "cpu",
    max_tokens: int = 1024,
    poll: Callable[[], None] = lambda: None,
) -> Complete:
    """`complete(messages)` of the model in `folder`; the model is in memory as long as this object
    lives.

    `poll` is called at every token and may raise to stop. ValueError if the model cannot
    be loaded.
    """
    return partial(generate, *load(folder, device), max_tokens=max_tokens, poll=poll)


def load(folder: Path, device: str):
    """Model and tokenizer, offline, without foreign code. ValueError with the reason."""
    try:
        from transformers import AutoModelForCausalLM, AutoTokenizer
    except ImportError:
        raise ValueError(
            "The method 'transformers' needs the Python package transformers, which is missing."
        ) from None
    safe = {"local_files_only": True, "trust_remote_code": False}
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, **safe)
        model = AutoModelForCausalLM.from_pretrained(
            folder, use_safetensors=True, torch_dtype="auto", **safe
        )
    except (OSError, ValueError, KeyError, ImportError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ValueError(
            f"The language model in '{folder.name}' could not be loaded: {reason}"
        ) from error
    return model.to(device).eval(), tokenizer


def encode(tokenizer, messages: Messages):
    """Token ids [1, L] of the messages: by the tokenizer's chat template if it has one, else as
    plain text.
    """
    if not tokenizer.chat_template:
        text = "\n\n".join(message["content"] for message in messages) + "\n\n"
        return tokenizer(text, return_tensors="pt").input_ids
    from jinja2 import TemplateError

    form = {"add_generation_prompt": True, "tokenize": False, "enable_thinking": False}
    try:
        text = tokenizer.apply_chat_template(messages, **form)
    except TemplateError:  # a template without a system role
        text = tokenizer.apply_chat_template(without_system(messages), **form)
    return tokenizer(text, return_tensors="pt", add_special_tokens=False).input_ids


def without_system(messages: Messages) -> Messages:
    """The messages with the system's text at the head of the first user message."""
    system, user, *rest = messages
    return [{"role": "user", "content": f"{system['content']}\n\n{user['content']}"}, *rest]


def generate(
    model, tokenizer, messages: Messages, *, max_tokens: int, poll: Callable[[], None]
) -> str:
    """The greedy answer, at most `max_tokens` long.

    ValueError if the prompts fill the model's context.
    """
    import torch
    from transformers import StoppingCriteriaList

    def stop(input_ids, scores, **kwargs):
        poll()
        return torch.zeros(len(input_ids), dtype=torch.bool, device=input_ids.device)

    tokens = encode(tokenizer, messages).to(model.device)
    room = getattr(model.config, "max_position_embeddings", None) or 1 << 30
    room -= tokens.shape[1]
    if room < MIN_ANSWER:
        raise ValueError(
            f"The prompts take {tokens.shape[1]} tokens and leave this model no room to answer."
        )
    end = tokenizer.eos_token_id
    with torch.inference_mode():
        output = model.generate(
            tokens,
            attention_mask=torch.ones_like(tokens),
            max_new_tokens=min(max_tokens, room),
            do_sample=False,
            pad_token_id=end if tokenizer.pad_token_id is None else tokenizer.pad_token_id,
            stopping_criteria=StoppingCriteriaList([stop]),
        )
    return tokenizer.decode(output[0, tokens.shape[1] :], skip_special_tokens=True)
