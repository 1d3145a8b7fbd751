"""What a model family is to the method: all that differs between families. Each one is a file in
families/, with its tests.
"""

import dataclasses
import enum
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from .equations import Streams

KEYWORD = "transformer_options"


class Block(enum.Enum):
    """How a block lets text and image attend, which decides how two texts merge in it."""

    JOINT = "one softmax over text and image, the MLP after it: the mode's equation"
    BRANCHES = "the MLP parallel to the attention: Eq. 6-11"
    ACROSS = "the image attends to the text alone, no token of which changes: the mode's equation"


@dataclasses.dataclass(frozen=True)
class Place:
    """Where things are in one call. theta_B: the entity's weight in each row. lengths_B: of the
    entity of each row. image: image tokens of the picture x in a row, without what the model fills
    them up with.
    """

    streams: Streams
    theta_B: torch.Tensor
    lengths_B: torch.Tensor
    image: int


@dataclasses.dataclass(frozen=True)
class Turn:
    """A rotation of the queries and keys of some of the tokens [bg | ent | img], as the host's
    EmbedND gives it for one position, [B or 1, 1, 1, D/2, 2, 2]. split_half: numbers i and D/2 + i
    turn together, not 2i and 2i + 1.
    """

    tokens: slice
    rotation: torch.Tensor
    split_half: bool = False


def turn_none(model: Any, place: Place) -> tuple[Turn, ...]:
    return ()


def count_none(model: Any) -> int:
    return 0


def dict_of_none(model: Any) -> dict[str, Any]:
    return {}


def no_grids(model: Any, x: torch.Tensor) -> tuple[tuple[int, int], ...]:
    return ()


def embed_nothing(model: Any, named: dict, kwargs: dict) -> tuple[dict, dict]:
    return named, kwargs


def find_no_reason(named: dict, kwargs: dict) -> None:
    return None


@dataclasses.dataclass(frozen=True)
class Architecture:
    """One model family, in the host's own class.

    matches: whether a diffusion model is one. arguments: names for the positional arguments that a
    DIFFUSION_MODEL wrapper sees, in their order; `per_row` are those with one row per image.
    `pooled` is among them where the family has a pooled text vector, which is mixed by theta.
    blocks: what the host calls a kind of block (None: it does not say) -> how it merges.
    joint_calls: how many attentions over text and image one model call makes. patch: latent pixels
    along a side of an image token. text_key: the tokens that the model reads as its text, among
    those of the text encoder. positions(model, x, options): of a picture's image tokens,
    [1, S, axes], in the form in which the host's `post_input` patch takes them; None where it takes
    none, so that pictures are always computed whole.

    The text comes first, [bg | ent | img]. What a text is in the company of the other must be what
    it is alone, which these see to:

    pad_text(model, text [1, L, D]): fills up one text as the host or the model does.
    ends_at_image: the image's positions follow the text's, so shorter entities are filled up in
    front. turns(model, place): how to turn the queries and keys of streams, so that each is as far
    from the image as alone. text_positions(model, x, tokens): where a text stands beside the
    picture x, [tokens, axes], for the patch that takes `positions`. refiners: how many attentions
    over the text alone a call makes; the texts do not see each other there. patches: objects
    of the host's model to replace, by name, on the coupled clone.
    grids(model, x): rows and columns of tokens of its attentions of the image alone, where an
    attention to the text is known by its length. embed_texts(model, named, kwargs): the arguments
    of a call, coupled or with a plate, with texts that are still to be read, each by itself.
    guidance: the one distilled guidance that the family knows, in place of the user's.
    refuse(named, kwargs): why a call cannot be coupled; None if it can.
    """

    name: str
    matches: Callable[[torch.nn.Module], bool]
    arguments: tuple[str, ...]
    blocks: Mapping[str | None, Block]
    joint_calls: Callable[[torch.nn.Module], int]
    per_row: tuple[str, ...] = ("x", "timestep", "context", "pooled", "guidance")
    patch: int = 2
    text_key: str = "t5xxl"
    positions: Callable[[Any, torch.Tensor, dict], torch.Tensor] | None = None
    pad_text: Callable[[Any, torch.Tensor], torch.Tensor] | None = None
    ends_at_image: bool = False
    turns: Callable[[Any, Place], Sequence[Turn]] = turn_none
    text_positions: Callable[[Any, torch.Tensor, int], torch.Tensor] | None = None
    refiners: Callable[[Any], int] = count_none
    grids: Callable[[Any, torch.Tensor], Sequence[tuple[int, int]]] = no_grids
    embed_texts: Callable[[Any, dict, dict], tuple[dict, dict]] = embed_nothing
    patches: Callable[[Any], dict[str, Any]] = dict_of_none
    guidance: float | None = None
    refuse: Callable[[dict, dict], str | None] = find_no_reason

    def name_arguments(self, args: tuple, kwargs: dict | None = None) -> dict[str, Any]:
        """The positional arguments of a call by name, and its options, which some families take as
        a keyword; `call` gives them back.

        Arguments that a newer host appends keep their place.
        """
        names = [*self.arguments, *(f"argument {i}" for i in range(len(self.arguments), len(args)))]
        named = dict(zip(names, args, strict=False))
        return named if self.takes_options else {**named, "options": (kwargs or {})[KEYWORD]}

    def call(self, executor: Callable, named: dict, kwargs: dict):
        """Calls the model with what name_arguments named."""
        if self.takes_options:
            return executor(*named.values(), **kwargs)
        args = [value for name, value in named.items() if name != "options"]
        return executor(*args, **{**kwargs, KEYWORD: named["options"]})

    @property
    def takes_options(self) -> bool:
        return "options" in self.arguments


def uncompiled(model: torch.nn.Module) -> torch.nn.Module:
    """The module that torch.compile wrapped, or the module itself."""
    return getattr(model, "_orig_mod", model)
