"""CLIP models through open_clip's own classes: their weights from a file, or from a named set on
this machine.

Nothing is downloaded unless the user's environment says COUPLED_ALLOW_DOWNLOADS=1, and no file runs
code.
"""

import dataclasses
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import comfy.model_management
import comfy.model_patcher
import torch
from torch.nn import functional as F

from .packages import require
from .weights import read_weights

if TYPE_CHECKING:
    import open_clip

ALLOW_DOWNLOADS = "COUPLED_ALLOW_DOWNLOADS"
HUB_FILES = (
    "open_clip_model.safetensors",
    "open_clip_pytorch_model.safetensors",
    "open_clip_pytorch_model.bin",
)
IMAGES_AT_ONCE = 16


@dataclasses.dataclass(frozen=True)
class Preprocessing:
    """How a model wants its pictures; the names and defaults are open_clip's."""

    size: tuple[int, int] = (224, 224)
    mean: tuple[float, float, float] = (0.48145466, 0.4578275, 0.40821073)
    std: tuple[float, float, float] = (0.26862954, 0.26130258, 0.27577711)
    interpolation: str = "bicubic"
    resize_mode: str = "shortest"

    def __call__(self, images_NHWC: torch.Tensor) -> torch.Tensor:
        """RGB in [0, 1], any size, to the model's pictures [N, 3, height, width]."""
        x = images_NHWC[..., :3].movedim(-1, 1).float()
        x = F.interpolate(
            x, self.resized(*x.shape[-2:]), mode=self.interpolation, antialias=True
        ).clamp(0, 1)
        top, left = (
            round((have - want) / 2) for have, want in zip(x.shape[-2:], self.size, strict=True)
        )
        x = x[..., top : top + self.size[0], left : left + self.size[1]]
        mean, std = (x.new_tensor(values)[:, None, None] for values in (self.mean, self.std))
        return (x - mean) / std

    def resized(self, height: int, width: int) -> tuple[int, int]:
        """The size before the middle is cut out: `squash` takes the model's own, `shortest` keeps
        the aspect.
        """
        if self.resize_mode == "squash":
            return self.size
        scale = max(want / have for have, want in zip((height, width), self.size, strict=True))
        return max(self.size[0], int(height * scale)), max(self.size[1], int(width * scale))


class ClipModel:
    """An open_clip module in the host's care, with its tokenizer (texts -> ids) and
    preprocessing.
    """

    def __init__(self, module: "open_clip.CLIP", tokenize: Callable, preprocess: Preprocessing):
        self.module, self.tokenize, self.preprocess = (
            module.eval().requires_grad_(False),
            tokenize,
            preprocess,
        )
        self.device = comfy.model_management.text_encoder_device()
        self.patcher = comfy.model_patcher.CoreModelPatcher(
            module,
            load_device=self.device,
            offload_device=comfy.model_management.text_encoder_offload_device(),
        )

    @torch.no_grad()
    def embed_images(self, images_NHWC: torch.Tensor) -> torch.Tensor:
        """Unit vectors [N, E] of RGB images in [0, 1]."""
        comfy.model_management.load_model_gpu(self.patcher)
        # Resized before they go to the device: not every one (MPS) can do so with antialiasing.
        parts = [
            self.preprocess(part).to(self.device) for part in images_NHWC.split(IMAGES_AT_ONCE)
        ]
        return (
            torch.cat([self.module.encode_image(part, normalize=True) for part in parts])
            .float()
            .cpu()
        )

    @torch.no_grad()
    def embed_texts(self, texts: list[str]) -> torch.Tensor:
        """Unit vectors [N, E]."""
        comfy.model_management.load_model_gpu(self.patcher)
        return (
            self.module.encode_text(self.tokenize(texts).to(self.device), normalize=True)
            .float()
            .cpu()
        )


def load_open_clip(name: str, weights: Path | None, pretrained: str = "") -> ClipModel:
    """A model that open_clip knows by `name`, with the weights of a file, or of the named set
    `pretrained`.

    ImportError without the package; ValueError for an unknown name or weights of another model;
    FileNotFoundError if the named set is not on this machine and downloads are not allowed.
    """
    open_clip = import_open_clip()
    if name not in open_clip.list_models():  # also keeps out the names that are addresses
        close = ", ".join(
            m for m in open_clip.list_models() if m.lower().startswith(name.lower()[:5])
        )
        raise ValueError(
            f"open_clip knows no model {name!r}." + (f" It knows {close}." if close else "")
        )
    if open_clip.get_model_config(name)["text_cfg"].get("hf_tokenizer_name"):
        raise ValueError(
            f"{name} needs a tokenizer that open_clip does not bring along. Choose one of OpenAI's "
            "sizes, such as ViT-B-32 or ViT-L-14."
        )
    config = {} if weights else find_set(name, pretrained)
    path = weights or hub_file(config["hf_hub"])
    module = open_clip.create_model(
        name, load_weights=False, force_quick_gelu=config.get("quick_gelu", False)
    )
    fill(module, path, name)
    return ClipModel(module, open_clip.get_tokenizer(name), preprocessing(module, config))


def import_open_clip():
    return require("open_clip", "open_clip_torch", needed_by="Text Alignment")


def find_set(name: str, pretrained: str) -> dict:
    """open_clip's entry of a set of weights; ValueError if the model has no such set."""
    open_clip = import_open_clip()
    config = open_clip.get_pretrained_cfg(name, pretrained)
    if not config or not config.get("hf_hub"):
        known = ", ".join(open_clip.list_pretrained_tags_by_model(name)) or "none"
        raise ValueError(f"{name} has no set of weights named {pretrained!r}. It has: {known}.")
    return config


def hub_file(place: str) -> Path:
    """The file of a named set: from the cache of huggingface_hub, or downloaded where that is
    allowed.
    """
    import huggingface_hub

    repository, filename = place.rsplit("/", 1)
    names = (filename,) if filename else HUB_FILES
    for name in names:
        found = huggingface_hub.try_to_load_from_cache(repository, name)
        if isinstance(found, str):
            return Path(found)
    if os.environ.get(ALLOW_DOWNLOADS) != "1":
        raise FileNotFoundError(
            f"The weights {repository} are not on this machine. Put their file into "
            "models/open_clip and choose it, or start ComfyUI with the environment variable "
            f"{ALLOW_DOWNLOADS}=1 to let it be downloaded."
        )
    available = [name for name in names if huggingface_hub.file_exists(repository, name)]
    if not available:
        raise FileNotFoundError(f"{repository} has none of the files {', '.join(names)}.")
    return Path(huggingface_hub.hf_hub_download(repository, available[0]))


def fill(module: "open_clip.CLIP", path: Path, name: str) -> None:
    """Load weights into a model; ValueError if they are another's or cannot be read."""
    from open_clip.convert import convert_state_dict

    content: dict[str, Any] = read_weights(path)
    try:
        weights = content.get("state_dict", content)
        weights = {key.removeprefix("module."): value for key, value in weights.items()}
        module.load_state_dict(convert_state_dict(module, weights), strict=True)
    except (AttributeError, KeyError, RuntimeError, TypeError, ValueError) as error:
        raise ValueError(
            f"{path.name} holds no weights of {name}: {str(error)[:300]}. Choose the model that the"
            " file belongs to (OpenAI's own weights: the names that end in -quickgelu)."
        ) from error


def preprocessing(module: "open_clip.CLIP", config: dict) -> Preprocessing:
    tower: Any = module.visual
    size = tower.image_size
    known: dict[str, Any] = {
        field.name: config[field.name]
        for field in dataclasses.fields(Preprocessing)
        if field.name in config
    }
    known["size"] = (size, size) if isinstance(size, int) else tuple(size)
    return Preprocessing(**known)
