"""A language model that the host has loaded as a CLIP, asked as the host's own Generate Text node
asks it.
"""

from __future__ import annotations

from .chat import Messages

MAX_TOKENS = 1024


def complete_with_clip(clip, messages: Messages, max_tokens: int = MAX_TOKENS) -> str:
    """The greedy answer of a host CLIP.

    ValueError if this text encoder cannot generate text.
    """
    if not can_generate(clip):
        raise ValueError(
            "This CLIP only encodes text (CLIP-L and T5 do), it cannot write. Load a language model"
            " with the host's Load CLIP node, such as Gemma or Qwen, or choose another method."
        )
    tokens = clip.tokenize(as_text(messages), skip_template=False, min_length=1, thinking=False)
    return clip.decode(clip.generate(tokens, do_sample=False, max_length=max_tokens))


def as_text(messages: Messages) -> str:
    """The messages as one text: the host puts its template for one user turn around it."""
    named = {"assistant": "Your answer was:\n"}
    return "\n\n".join(named.get(message["role"], "") + message["content"] for message in messages)


def can_generate(clip) -> bool:
    """Whether the text encoder has a transformer that writes.

    The host gives every CLIP a `generate`, which then fails.
    """
    model = getattr(clip, "cond_stage_model", None)
    if not hasattr(model, "generate"):
        return False
    inner = getattr(model, str(getattr(model, "clip", "")), None)
    transformer = getattr(inner, "transformer", None)
    return transformer is None or hasattr(transformer, "generate")
