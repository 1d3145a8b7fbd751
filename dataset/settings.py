"""How a data set is made: everything but its records that changes the pictures."""

import dataclasses
import json
from typing import Any

from ..attention.modes import get_mode
from ..mini.size import SIZE
from ..optimize.painter import Settings as SamplerSettings
from .filters import Filters, read_filters
from .records import Record

BY_HAND = "by hand"  # in the place of a model: the records say how they were made
FLUX = ("unet", "clip_l", "t5", "vae")


@dataclasses.dataclass(frozen=True)
class Models:
    """Names of files as in the host's loaders; none of Flux's: the mini models.

    lora: for the diffusion model. clip_model: open_clip's name of the model in `clip_weights`;
    without it nothing of CLIP is measured, but by the mini CLIP beside the mini model.
    """

    unet: str = ""
    clip_l: str = ""
    t5: str = ""
    vae: str = ""
    weight_dtype: str = "default"
    lora: str = ""
    lora_strength: float = 1.0
    clip_weights: str = ""
    clip_model: str = "ViT-B-32-quickgelu"

    @property
    def mini(self) -> bool:
        return not self.unet

    @property
    def by_hand(self) -> bool:
        return self.unet == BY_HAND

    @property
    def name(self) -> str:
        return self.unet or "Mini Flux"

    def check(self) -> None:
        """ValueError if only some of Flux's files are named."""
        missing = [key for key in FLUX if not getattr(self, key)]
        if missing and len(missing) < len(FLUX):
            raise ValueError(
                f"{', '.join(missing)} is not named: give all of {', '.join(FLUX)}, or none for"
                " the mini model."
            )


@dataclasses.dataclass(frozen=True)
class Settings:
    """The sampling, the models, and how many sets a shard holds.

    hashes: (which model, eight letters of its file's SHA-256).
    """

    models: Models = Models()
    steps: int = 20
    sampler_name: str = "euler"
    scheduler: str = "simple"
    guidance: float = 3.5
    mode: str = "local"
    center: float = 4.0
    width: int = SIZE
    height: int = SIZE
    uncoupled: bool = False
    filters: Filters = dataclasses.field(default_factory=lambda: read_filters("coupled"))
    per_shard: int = 100
    threads: int = 1  # of torch on a CPU: another number may round otherwise
    hashes: tuple[tuple[str, str], ...] = ()

    def check(self) -> None:
        """ValueError if something is no setting."""
        self.models.check()
        get_mode(self.mode)
        SamplerSettings(
            self.steps, self.sampler_name, self.scheduler, self.guidance, self.mode
        ).check()
        if min(self.width, self.height) < 16 or self.width % 16 or self.height % 16:
            raise ValueError(
                f"The size must be multiples of 16 pixels; it is {self.width} × {self.height}."
            )
        if self.per_shard < 1 or self.threads < 1:
            raise ValueError("A shard needs one record or more, and torch one thread or more.")

    def size_of(self, record: Record) -> tuple[int, int]:
        """(width, height) of a record's pictures, in pixels."""
        return record.width or self.width, record.height or self.height

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(self), indent=1)

    @classmethod
    def from_json(cls, text: str) -> "Settings":
        content: dict[str, Any] = json.loads(text)
        content["models"] = Models(**content["models"])
        content["filters"] = Filters.from_fields(content["filters"])
        content["hashes"] = tuple(map(tuple, content["hashes"]))
        return cls(**content)
