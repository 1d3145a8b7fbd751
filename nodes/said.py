"""What nodes say on themselves after a run."""

from collections.abc import Sequence

from comfy_api.latest import ui


def show(lines: Sequence[str]):
    """Text on the node; None where there is nothing to say."""
    return ui.PreviewText("\n".join(lines)) if lines else None


def name_unknown(clip, texts: Sequence[str]) -> list[str]:
    """A line with the words that a text encoder passes over; none where it knows them all.

    Only the mini model's knows whole words alone; others read anything.
    """
    find = getattr(clip.tokenizer, "unknown_words", None)
    if find is None:
        return []
    unknown = sorted({word for text in texts for word in find(text)})
    said = f"Passed over, for Mini Flux does not know them: {', '.join(unknown)}"
    return [said] if unknown else []
