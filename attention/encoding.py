"""Encodes the texts of a coupled set, with all entities at one number of tokens.

The attention needs rows of equal length. Shorter texts get the padding that the tokenizer itself
gives, as the model knows it from training; tokens are never repeated.
"""

from collections.abc import Sequence

from .conditioning import Conditioning, couple_conditioning

Tokens = dict  # key of a tokenizer -> batches of (token, weight, ...)


def encode_set(
    clip, background: str, entities: Sequence[str], guidance: float | None = None
) -> Conditioning:
    """The coupled conditioning of a background text and n entity texts; each distinct text is
    encoded once.

    `clip` is a CLIP of the host; its hooks (LoRA) work, schedules of them too. The background keeps
    its own length.
    """
    tokens = {text: clip.tokenize(text) for text in dict.fromkeys(entities)}
    lengths = longest(list(tokens.values()))
    tokens = {text: padded(clip, text, t, lengths) for text, t in tokens.items()}
    encoded = {text: clip.encode_from_tokens_scheduled(t) for text, t in tokens.items()}
    return couple_conditioning(
        clip.encode_from_tokens_scheduled(clip.tokenize(background)),
        [encoded[text] for text in entities],
        guidance,
    )


def longest(tokens: Sequence[Tokens]) -> dict[str, int]:
    """The largest length by key, of the keys whose tokenizers give one run of tokens of any length.

    Tokenizers of fixed length (CLIP's chunks of 77) pad on their own.
    """
    lengths = {}
    for key in tokens[0]:
        found = {len(batch) for text in tokens for batch in text[key]}
        if all(len(text[key]) == 1 for text in tokens) and len(found) > 1:
            lengths[key] = max(found)
    return lengths


def padded(clip, text: str, tokens: Tokens, lengths: dict[str, int]) -> Tokens:
    """The tokens of `text`, filled up to `lengths` by the host's own option, else with the
    tokenizer's pad token.
    """
    if all(len(tokens[key][0]) >= length for key, length in lengths.items()):
        return tokens
    by_key = {key: sub_tokenizer(clip.tokenizer, key) for key in lengths}
    options = {
        f"{getattr(by_key[key], 'embedding_key', key)}_min_length": n for key, n in lengths.items()
    }
    tokens = clip.tokenize(text, tokenizer_options=options)
    for key, length in lengths.items():
        missing = length - len(tokens[key][0])
        if missing > 0:
            pad(by_key[key], key, tokens[key][0], missing)
    return tokens


def sub_tokenizer(tokenizer, key: str):
    """The part of the host's tokenizer that makes the tokens of `key`: an attribute `key` or
    `clip_key`; or itself.
    """
    return getattr(tokenizer, key, None) or getattr(tokenizer, f"clip_{key}", None) or tokenizer


def pad(tokenizer, key: str, batch: list[tuple], amount: int) -> None:
    """Adds `amount` pad tokens to a run of tokens; ValueError when the tokenizer does not tell its
    pad token.
    """
    if hasattr(tokenizer, "pad_tokens"):
        tokenizer.pad_tokens(batch, amount)
    elif hasattr(tokenizer, "pad_token"):
        batch.extend([(tokenizer.pad_token, 1.0, 0)[: len(batch[0])]] * amount)
    else:
        raise ValueError(
            f"The entities differ in length by {amount} tokens, and the text encoder's tokenizer"
            f" ({key!r}) has no way to pad. Write the entities equally long, or use another text"
            " encoder."
        )
