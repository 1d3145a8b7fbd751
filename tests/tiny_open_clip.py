"""A small CLIP of random weights, in open_clip's own classes."""

import json
from pathlib import Path

import open_clip
import torch
from safetensors.torch import save_file

NAME = "coupled-test-tiny"
CONFIG = {
    "embed_dim": 32,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 64, "head_width": 32, "patch_size": 8},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2},
}


def save_tiny_clip(folder: Path) -> Path:
    """The weights of a random model that open_clip knows by NAME from here on."""
    config, weights = folder / f"{NAME}.json", folder / "tiny.safetensors"
    config.write_text(json.dumps(CONFIG))
    open_clip.add_model_config(config)
    torch.manual_seed(5)  # whose cosines are above 0, where a score begins
    save_file(open_clip.create_model(NAME, load_weights=False).state_dict(), weights)
    return weights
