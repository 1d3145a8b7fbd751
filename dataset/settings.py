"""How a data set is made: everything but its records that changes the pictures."""

import dataclasses
import json
from typing import Any

from ..attention.modes import get_mode
from ..mini.size import SIZE
from ..optimize.painter import Settings as SamplerSettings
from .filters import read_filters

BY_HAND = "by hand"  # in the place of a model: the records say how they were made


@dataclasses.dataclass(frozen=True)
class Models:
    """Names of files as in the host's loaders; all empty: the mini models.

    clip_model: open_clip's name of the model in `clip_weights`; without it nothing of CLIP is
    measured.
    """

    unet: str = ""
    clip_l: str = ""
    t5: str = ""
    vae: str = ""
    weight_dtype: str = "default"
    clip_weights: str = ""
    clip_model: str = "ViT-B-32-quickgelu"
    license: str = ""

    @property
    def mini(self) -> bool:
        return not self.unet

    @property
    def by_hand(self) -> bool:
        return self.unet == BY_HAND

    def check(self) -> None:
        """ValueError if only some of Flux's files are named."""
        files = {key: getattr(self, key) for key in ("unet", "clip_l", "t5", "vae")}
        missing = [key for key, name in files.items() if not name]
        if missing and len(missing) < len(files):
            raise ValueError(
                f"{', '.join(missing)} is not named: give all of {', '.join(files)}, or none for"
                " the mini model."
            )


@dataclasses.dataclass(frozen=True)
class Settings:
    """The sampling, the models, and how many sets a shard holds."""

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
    filters: str = "coupled"
    per_shard: int = 100
    threads: int = 1  # of torch on a CPU: another number may round otherwise
    hashes: tuple[tuple[str, str], ...] = ()

    def check(self) -> None:
        """ValueError if something is no setting."""
        self.models.check()
        get_mode(self.mode)
        read_filters(self.filters)
        SamplerSettings(
            self.steps, self.sampler_name, self.scheduler, self.guidance, self.mode
        ).check()
        if min(self.width, self.height) < 16 or self.width % 16 or self.height % 16:
            raise ValueError(
                f"The size must be multiples of 16 pixels; it is {self.width} × {self.height}."
            )
        if self.per_shard < 1 or self.threads < 1:
            raise ValueError("A shard needs one record or more, and torch one thread or more.")

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(self), indent=1)

    @classmethod
    def from_json(cls, text: str) -> "Settings":
        content: dict[str, Any] = json.loads(text)
        content["models"] = Models(**content["models"])
        content["hashes"] = tuple(map(tuple, content["hashes"]))
        return cls(**content)
