"""Encodes the texts of a coupled set, each as it would be alone; and fills up tokens to one length.

Where texts must be encoded at one length, the shorter ones get the padding that the tokenizer
itself gives, as the model knows it from training; tokens are never repeated.
"""

from collections.abc import Sequence

from .conditioning import Conditioning, couple_conditioning, coupled_size

Tokens = dict  # key of a tokenizer -> batches of (token, weight, ...)


def encode_set(
    clip,
    background: str,
    entities: Sequence[str],
    guidance: float | None = None,
    background_conditioning: Conditioning | None = None,
) -> Conditioning:
    """The coupled conditioning of a background text and n entity texts.

    Parameters:
        clip: a CLIP of the host. Its hooks (LoRA) work, schedules of them too.
        background: what all images share; it keeps its own number of tokens.
        entities: n texts. Each distinct one is encoded once, and as it would be alone.
        guidance: distilled guidance of the set; None keeps the background's.
        background_conditioning: an ordinary conditioning that takes the background text's place,
            such as one with a Redux image.

    Returns a CONDITIONING whose context is [n, L_bg + L_ent, D].

    ValueError if the texts do not fit together, or the background conditioning is a coupled one.
    """
    if background_conditioning is None:
        background_conditioning = clip.encode_from_tokens_scheduled(clip.tokenize(background))
    check_background(background_conditioning)
    encoded = {
        text: clip.encode_from_tokens_scheduled(clip.tokenize(text))
        for text in dict.fromkeys(entities)
    }
    return couple_conditioning(
        background_conditioning, [encoded[text] for text in entities], guidance
    )


def check_background(conditioning: Conditioning) -> None:
    """ValueError for a background that is a coupled set, or a batch."""
    if coupled_size(conditioning) is not None:
        raise ValueError(
            "background_conditioning is a coupled set already: connect the conditioning of a CLIP"
            " Text Encode, or what Apply Style Model or Conditioning (Concat) make of it."
        )
    rows = max((entry[0].shape[0] for entry in conditioning), default=0)
    if rows != 1:
        raise ValueError(
            f"background_conditioning must be one encoded text, and it has {rows}: all images of a"
            " set share one background."
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


def pad_tokens(clip, text: str, tokens: Tokens, lengths: dict[str, int]) -> Tokens:
    """The tokens of `text`, filled up to `lengths` by the host's option or with the pad token."""
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
    """What makes the tokens of `key`: the tokenizer's attribute `key` or `clip_key`, or itself."""
    return getattr(tokenizer, key, None) or getattr(tokenizer, f"clip_{key}", None) or tokenizer


def pad(tokenizer, key: str, batch: list[tuple], amount: int) -> None:
    """Adds `amount` pad tokens to a run of tokens; ValueError if the pad token is unknown."""
    if hasattr(tokenizer, "pad_tokens"):
        tokenizer.pad_tokens(batch, amount)
    elif hasattr(tokenizer, "pad_token"):
        batch.extend([(tokenizer.pad_token, 1.0, 0)[: len(batch[0])]] * amount)
    else:
        raise ValueError(
            f"The entities differ in length by {amount} tokens, and the text encoder's tokenizer"
            f" ({key!r}) has no way to pad. Give all entities the same length, or use another"
            " text encoder."
        )
