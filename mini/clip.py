"""Mini CLIP: open_clip's own class in small sizes, over the mini world's words, with the weights
beside.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch

from ..metrics.clip import ClipModel, Preprocessing, import_open_clip
from .model import read
from .size import SIZE
from .text import END, PAD, T5_CONFIG, MiniTokenizer

if TYPE_CHECKING:
    import open_clip

CONTEXT = 40
SIDE = SIZE // 2  # it looks at pictures made smaller, as CLIP does


def build_mini_clip() -> "open_clip.CLIP":
    """The untrained model. ImportError without the package open_clip."""
    open_clip = import_open_clip()
    vision = open_clip.CLIPVisionCfg(
        layers=4, width=192, head_width=48, patch_size=16, image_size=SIDE
    )
    text = open_clip.CLIPTextCfg(
        context_length=CONTEXT,
        vocab_size=T5_CONFIG["vocab_size"],
        width=128,
        heads=4,
        layers=2,
        pool_type="eos",
        eos_id=END,
        pad_id=PAD,
    )
    return open_clip.CLIP(128, vision, text)


def load_mini_clip() -> ClipModel:
    """The trained model in float32, ready to measure.

    ImportError without the package open_clip; FileNotFoundError if the weights are not where the
    pack put them.
    """
    clip = build_mini_clip()
    clip.load_state_dict({name: weight.float() for name, weight in read("clip").items()})
    return ClipModel(clip, tokenizer(), Preprocessing(size=clip.visual.image_size))


def tokenizer() -> Callable[[list[str]], torch.Tensor]:
    """texts -> ids [N, CONTEXT].

    Words it does not know are named in a warning; ValueError for too many words.
    """
    mini = MiniTokenizer()

    def tokenize(texts: list[str]) -> torch.Tensor:
        ids = torch.full((len(texts), CONTEXT), PAD)
        for row, text in zip(ids, texts, strict=True):
            mini.warn_unknown(text)
            words = mini.t5xxl.tokenizer(text)["input_ids"]
            if len(words) > CONTEXT:
                raise ValueError(
                    f"Mini CLIP reads {CONTEXT - 1} words; this prompt has more: {text!r}"
                )
            row[: len(words)] = torch.tensor(words)
        return ids

    return tokenize
