"""HunyuanImage 2.1: the blocks of Flux.1. A refiner of the model's reads the text first, and takes
its mean; words in quotes are read by ByT5, too, and stand behind the text as further tokens. So
each text is read alone before a call, and the model's refiner lets it through.
"""

from functools import partial
from typing import Any

import torch

from ..architectures import KEYWORD, Architecture
from ..conditioning import (
    BACKGROUND_TOKENS,
    ENTITY_PADDING,
    QUOTED,
    QUOTED_PADDING,
    fill_up,
    has_background,
    hide_padding,
)
from ..wrapped import forward_of
from .flux import FLUX1, count_flux_blocks

READ = "coupled_texts_read"  # in the options of a call whose texts are


def is_hunyuan_image(model: torch.nn.Module) -> bool:
    """Of two axes: HunyuanVideo and the refiner of HunyuanImage are of the same class."""
    from comfy.ldm.hunyuan_video.model import HunyuanVideo

    return type(model) is HunyuanVideo and len(model.patch_size) == 2


def read_texts(model: Any, named: dict, kwargs: dict) -> tuple[dict, dict]:
    """A call with each text as it is read alone, the words in quotes behind it."""
    if not has_background(kwargs):
        return read_one(model, named), kwargs
    n_bg, padding_BL = kwargs[BACKGROUND_TOKENS], kwargs.get(ENTITY_PADDING)
    refuse_hidden(named["attention_mask"], n_bg, padding_BL)
    context, quoted = named["context"], named["byt5"]
    background = read(model, named, context[:1, :n_bg], None if quoted is None else quoted[:1])
    entities = read_entities(model, named, context[:, n_bg:], kwargs)
    lengths = [text.shape[1] for text in entities]
    kwargs = {**kwargs, BACKGROUND_TOKENS: background.shape[1]}
    kwargs.pop(ENTITY_PADDING, None)
    if len(set(lengths)) > 1:
        kwargs[ENTITY_PADDING] = hide_padding(lengths).to(context.device)
    context = torch.cat((background.expand(len(context), -1, -1), fill_up(entities)), 1)
    return mark(named, context), kwargs


def read_one(model: Any, named: dict) -> dict:
    """The same of an ordinary text, where it has words in quotes: only the model's own forward
    knows of those.
    """
    if named["byt5"] is None:
        return named
    return mark(named, read(model, named, named["context"], named["byt5"]))


def mark(named: dict, context: torch.Tensor) -> dict:
    options = {**named["options"], READ: True}
    return {**named, "context": context, "byt5": None, "attention_mask": None, "options": options}


def read_entities(
    model: Any, named: dict, text_BLD: torch.Tensor, kwargs: dict
) -> list[torch.Tensor]:
    """Each row's own text, [1, tokens, D]."""
    quoted, B = kwargs.get(QUOTED), len(text_BLD)
    rows = zip(
        lengths_of(kwargs.get(ENTITY_PADDING), text_BLD),
        [0] * B if quoted is None else lengths_of(kwargs.get(QUOTED_PADDING), quoted),
        strict=True,
    )
    return [
        read(
            model,
            {**named, "timestep": named["timestep"][i : i + 1]},
            text_BLD[i : i + 1, :length],
            quoted[i : i + 1, :words] if quoted is not None and words else None,
        )
        for i, (length, words) in enumerate(rows)
    ]


def lengths_of(padding_BL: torch.Tensor | None, text_BLD: torch.Tensor) -> list[int]:
    B, L = text_BLD.shape[:2]
    return [L] * B if padding_BL is None else (padding_BL == 0).sum(1).tolist()


def read(model: Any, named: dict, text: torch.Tensor, quoted: torch.Tensor | None) -> torch.Tensor:
    """As the host's forward_orig."""
    t = named["timestep"][: len(text)]
    out = refine(model, text, t, None, transformer_options=named["options"])
    if quoted is None or model.byt5_in is None:
        return out
    return torch.cat((out, model.byt5_in(quoted)), 1)


def refine(model: Any, text: torch.Tensor, *args, **kwargs) -> torch.Tensor:
    """In place of the forward of the model's refiner: the same, for texts that are not read yet."""
    if kwargs.get(KEYWORD, {}).get(READ):
        return text.clone()  # the blocks write into it
    return forward_of(model.txt_in)(text, *args, **kwargs)


def refuse_hidden(mask_BL: torch.Tensor | None, n_bg: int, padding_BL: torch.Tensor | None) -> None:
    """ValueError if the text encoder hides tokens of a text, other than what fills it up."""
    if mask_BL is None:
        return
    hidden_BL = mask_BL == 0
    if padding_BL is not None:
        hidden_BL[:, n_bg:] &= padding_BL == 0
    if hidden_BL.any():
        raise ValueError(
            "Encode the texts with CLIP Text Encode, without a minimum length: Coupled Attention"
            " works on HunyuanImage 2.1 where the text encoder hides no tokens, and here it does."
        )


def patch_refiner(model: Any) -> dict[str, Any]:
    return {"txt_in.forward": partial(refine, model)}


HUNYUAN_IMAGE = Architecture(
    "HunyuanImage 2.1",
    is_hunyuan_image,
    arguments=(
        "x", "timestep", "context", "pooled", "byt5", "clip_vision", "guidance", "attention_mask",
        "guiding_frame", "ref_latents", "disable_time_r", "control", "options",
    ),
    blocks=FLUX1.blocks,
    joint_calls=count_flux_blocks,
    per_row=("x", "timestep", "context", "guidance"),
    patch=1,
    embed_texts=read_texts,
    patches=patch_refiner,
)  # fmt: skip
