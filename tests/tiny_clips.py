"""The text encoders of the families that have templates, in the host's own classes behind a real
`comfy.sd.CLIP`: small and random, with the real tokenizers and templates of each family. And VAEs.
"""

import dataclasses
from collections.abc import Callable

import comfy.ldm.models.autoencoder
import comfy.sd
import comfy.sdxl_clip
import comfy.supported_models_base
import comfy.text_encoders.flux
import comfy.text_encoders.hunyuan_image
import comfy.text_encoders.krea2
import comfy.text_encoders.pixart_t5
import comfy.text_encoders.qwen_image
import comfy.text_encoders.sd3_clip
import comfy.text_encoders.z_image
import torch
from tiny_families import (
    CHROMA,
    FLUX1,
    FLUX2,
    HUNYUAN_IMAGE,
    KREA2,
    QWEN_IMAGE,
    SD3,
    SDXL,
    Z_IMAGE,
    Tiny,
)

from tiny import POOLED_DIM, fill


def llm(layers: int, width: int = 32) -> dict:
    """Of a language model's configuration."""
    return {
        "hidden_size": width,
        "intermediate_size": 32,
        "num_hidden_layers": layers,
        "num_attention_heads": 1,
        "num_key_value_heads": 1,
    }


def clip(width: int) -> dict:
    """Of a CLIP's, whose pooled vector is as wide."""
    return {
        "num_hidden_layers": 3,
        "hidden_size": width,
        "num_attention_heads": 2,
        "intermediate_size": 16,
        "projection_dim": width,
    }


T5 = {"num_layers": 1, "d_model": 32, "d_kv": 8, "num_heads": 4, "d_ff": 32}


@dataclasses.dataclass(frozen=True)
class Encoder:
    """tokenizer, model: the host's. configs: of its parts, by name; ByT5 has none. own: what the
    family's small model must have to take its texts. tokens: what the tokenizer reads from a file.
    """

    tiny: Tiny
    tokenizer: Callable
    model: Callable
    configs: dict[str, dict]
    own: dict = dataclasses.field(default_factory=dict)
    tokens: dict = dataclasses.field(default_factory=dict)

    def clip(self) -> comfy.sd.CLIP:
        target = comfy.supported_models_base.ClipTarget(self.tokenizer, self.model)
        configs = {f"{name}_model_config": dict(config) for name, config in self.configs.items()}
        options = {**configs, "dtype": torch.float32}
        encoder = comfy.sd.CLIP(target, tokenizer_data=self.tokens, model_options=options)
        for module in encoder.cond_stage_model.modules():
            if hasattr(module, "visual"):  # large, and these prompts have no pictures
                del module.visual
        fill(encoder.cond_stage_model, 4)
        return encoder

    def model_of_family(self):
        """A ModelPatcher."""
        return dataclasses.replace(self.tiny, config={**self.tiny.config, **self.own}).model()


ENCODERS = [
    Encoder(
        FLUX1,
        comfy.text_encoders.flux.FluxTokenizer,
        comfy.text_encoders.flux.flux_clip(),
        {"t5xxl": T5, "clip_l": clip(POOLED_DIM)},
    ),
    Encoder(
        FLUX2,
        comfy.text_encoders.flux.KleinTokenizer,
        comfy.text_encoders.flux.klein_te(),
        {"qwen3_4b": llm(28)},  # it reads layers up to 27
        {"context_in_dim": 96, "guidance_embed": False},
    ),
    Encoder(
        QWEN_IMAGE,
        comfy.text_encoders.qwen_image.QwenImageTokenizer,
        comfy.text_encoders.qwen_image.te(),
        {"qwen25_7b": llm(1)},
    ),
    Encoder(
        CHROMA,
        comfy.text_encoders.pixart_t5.PixArtTokenizer,
        comfy.text_encoders.pixart_t5.pixart_te(),
        {"t5xxl": T5},
    ),
    Encoder(
        Z_IMAGE,
        comfy.text_encoders.z_image.ZImageTokenizer,
        comfy.text_encoders.z_image.te(),
        {"qwen3_4b": llm(3)},
    ),
    Encoder(
        KREA2,
        comfy.text_encoders.krea2.Krea2Tokenizer,
        comfy.text_encoders.krea2.te(),
        {"qwen3vl_4b": llm(36)},  # it reads layers up to 35
        {"txtlayers": 12},
    ),
    Encoder(
        SD3,
        comfy.text_encoders.sd3_clip.SD3Tokenizer,
        comfy.text_encoders.sd3_clip.sd3_clip(t5=False),  # its T5 is 4096 wide in any case
        {"clip_l": clip(8), "clip_g": clip(16)},
        {
            "context_embedder_config": {
                "target": "torch.nn.Linear",
                "params": {"in_features": 4096, "out_features": 128},
            },
        },
    ),
    Encoder(
        HUNYUAN_IMAGE,
        comfy.text_encoders.hunyuan_image.HunyuanImageTokenizer,
        comfy.text_encoders.hunyuan_image.te(),
        {"qwen25_7b": llm(4, width=64), "": {"num_layers": 1, "d_ff": 32}},
    ),
    Encoder(
        SDXL,
        comfy.sdxl_clip.SDXLTokenizer,
        comfy.sdxl_clip.SDXLClipModel,
        {"clip_l": clip(16), "clip_g": clip(1280)},  # SDXL's vector is as wide in any case
        {"context_dim": 1296},
    ),
]


def tiny_vae(channels: int, ratio: int) -> comfy.sd.VAE:
    """A random VAE of the host's, for latents with so many channels, `ratio` times smaller than
    the picture.
    """
    levels = ratio.bit_length()
    sizes = {
        "double_z": True,
        "z_channels": channels,
        "resolution": 64,
        "in_channels": 3,
        "out_ch": 3,
        "ch": 32,
        "ch_mult": [1] * levels,
        "num_res_blocks": 0,
        "attn_resolutions": [],
        "dropout": 0.0,
    }
    params = {"ddconfig": sizes, "embed_dim": channels}
    weights = comfy.ldm.models.autoencoder.AutoencoderKL(**params)
    fill(weights, 5)
    vae = comfy.sd.VAE(weights.state_dict(), config={"params": params})
    vae.latent_channels = channels
    vae.upscale_ratio = vae.downscale_ratio = ratio
    return vae
