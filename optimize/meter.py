"""What a finished set is worth: its measures, and whether it may be scored at all."""

import dataclasses
import math
import statistics
from collections.abc import Iterable
from typing import TYPE_CHECKING, Protocol

import torch

from ..metrics.alignment import CONVENTIONS
from ..metrics.background import background_similarity
from ..metrics.proposals import check_search
from ..metrics.score import PRESETS, Weights, combined
from ..prompts.split import SplitPrompts

if TYPE_CHECKING:
    from ..metrics.clip import ClipModel
    from ..metrics.segment import Segmenter

# Eq. 12 maximizes the combined score alone, which two degenerate schedules would win: theta = 0
# paints no entity, and entities that fill the picture leave no background to differ. Such a set is
# lost: it is worth no more than one that was not coupled at all. (Pictures of the mini model with
# one seed, uncoupled, measured -0.0135.)
LOST_F_BG = -0.0135
MIN_SCORE = 0.2  # of a mask, the default of Segment Entities
MIN_VISIBLE = 0.2  # of the picture; the other part may be entities


def mean_weights(weights: Iterable[Weights]) -> Weights:
    weights = list(weights)
    return Weights(
        statistics.fmean(one.background for one in weights),
        statistics.fmean(one.text for one in weights),
        statistics.fmean(one.offset for one in weights),
    )


WEIGHTS = {**PRESETS, "both": mean_weights(PRESETS.values())}


def none_if_nan(number: float) -> float | None:
    """For JSON, which has no NaN."""
    return None if math.isnan(number) else number


@dataclasses.dataclass(frozen=True)
class Measured:
    """The measures of one set at one seed; `reason` says why it is lost, None when it is not."""

    f_bg: float
    f_ti: float
    validity_ratio: float
    reason: str | None = None

    def score(self, weights: Weights) -> float:
        """The combined score; a lost set has that of an uncoupled one."""
        return combined(LOST_F_BG if self.reason else self.f_bg, self.f_ti, weights)

    def as_list(self) -> list:
        """For JSON."""
        return [none_if_nan(self.f_bg), self.f_ti, self.validity_ratio, self.reason]

    @classmethod
    def from_list(cls, values: list) -> "Measured":
        f_bg, *others = values
        return cls(math.nan if f_bg is None else f_bg, *others)


class Meter(Protocol):
    """Whatever measures a set. `identity` stands for all that changes its numbers."""

    identity: str

    def __call__(self, images_NHWC: torch.Tensor, prompts: SplitPrompts) -> Measured:
        """The measures of images [n, H, W, 3] in [0, 1], one for each prompt of the set."""


class ModelMeter:
    """Measures with a Segment Anything model and a CLIP model."""

    def __init__(
        self,
        segmenter: "Segmenter",
        clip: "ClipModel",
        identity: str,
        points_per_side: int = 16,
        min_score: float = MIN_SCORE,
        min_visible: float = MIN_VISIBLE,
    ):
        check_search(points_per_side, min_score)
        if not 0 <= min_visible < 1:
            raise ValueError(
                f"min_visible must be a number from 0 to below 1; it is {min_visible}."
            )
        self.segmenter = segmenter
        self.clip = clip
        self.points_per_side = points_per_side
        self.min_score = min_score
        self.min_visible = min_visible
        self.identity = f"{identity} {points_per_side} {min_score:g} {min_visible:g}"
        self.texts: dict[tuple[str, ...], torch.Tensor] = {}

    @torch.inference_mode()
    def __call__(self, images_NHWC: torch.Tensor, prompts: SplitPrompts) -> Measured:
        found = background_similarity(images_NHWC, self.masks(images_NHWC))
        cosines_NN = self.compare(images_NHWC, prompts.prompts)
        reason = found.reason or self.explain_loss(found.validity_ratio, cosines_NN)
        return Measured(found.f_bg, mean_alignment(cosines_NN), found.validity_ratio, reason)

    @torch.inference_mode()
    def text_alignment(self, images_NHWC: torch.Tensor, prompts: tuple[str, ...]) -> float:
        """f_ti: the mean over the images, each with the prompt of the same place."""
        return mean_alignment(self.compare(images_NHWC, prompts))

    def compare(self, images_NHWC: torch.Tensor, prompts: tuple[str, ...]) -> torch.Tensor:
        """The cosines [N, N] of all images with all prompts."""
        return self.clip.embed_images(images_NHWC) @ self.embed(prompts).T

    @torch.inference_mode()
    def masks(self, images_NHWC: torch.Tensor) -> torch.Tensor:
        """As segment_entities, but quietly: that an entity is not found is news of one candidate
        among many.
        """
        from ..metrics.segment import entity_mask

        self.segmenter.load()
        found = [
            entity_mask(self.segmenter, image, self.points_per_side, self.min_score)
            for image in images_NHWC
        ]
        empty_HW = torch.zeros(images_NHWC.shape[1:3])
        return torch.stack([empty_HW if mask_HW is None else mask_HW.cpu() for mask_HW in found])

    def embed(self, prompts: tuple[str, ...]) -> torch.Tensor:
        """The prompts' unit vectors [N, E], made once."""
        if prompts not in self.texts:
            self.texts[prompts] = self.clip.embed_texts(list(prompts))
        return self.texts[prompts]

    def explain_loss(self, validity_ratio: float, cosines_NN: torch.Tensor) -> str | None:
        """Entities too large, or not those of the prompts: every image must suit its own prompt
        best of the set's.
        """
        if validity_ratio < self.min_visible:
            return f"The entities hide the background: {validity_ratio:.0%} of it is visible."
        if (cosines_NN.argmax(1) != torch.arange(len(cosines_NN))).any():
            return (
                "An image suits another prompt of its set better than its own: its entity is weak"
                " or gone."
            )
        return None


def mean_alignment(cosines_NN: torch.Tensor) -> float:
    """The mean f_ti of images with the prompts of the same place."""
    _, factor = CONVENTIONS["100*cos"]
    return float((factor * cosines_NN.diagonal().clamp(min=0)).mean())
