"""The mini model as the host's objects, MODEL, CLIP and VAE, from the weights beside this file."""

from functools import cache
from typing import Any

import comfy.ldm.models.autoencoder
import comfy.model_base
import comfy.model_management
import comfy.model_patcher
import comfy.sd
import comfy.supported_models
import comfy.supported_models_base
import comfy.utils
import torch

from .codec import LATENT_CHANNELS, Codec
from .paths import WEIGHTS
from .text import POOLED_WIDTH, T5_CONFIG, MiniTextEncoder, MiniTokenizer

FLUX_CONFIG = {
    "image_model": "flux",
    "in_channels": LATENT_CHANNELS,
    "out_channels": LATENT_CHANNELS,
    "patch_size": 2,
    "vec_in_dim": POOLED_WIDTH,
    "context_in_dim": T5_CONFIG["d_model"],
    "hidden_size": 192,
    "mlp_ratio": 3.0,
    "num_heads": 4,
    "depth": 2,
    "depth_single_blocks": 5,
    "axes_dim": [12, 18, 18],
    "theta": 10000,
    "qkv_bias": True,
    "guidance_embed": True,
    "txt_ids_dims": [],
}


def load_mini():
    """(MODEL, CLIP, VAE). FileNotFoundError if the weights are not where the pack put them."""
    return mini_model(), mini_clip(), mini_vae()


def read(name: str) -> dict[str, torch.Tensor]:
    path = WEIGHTS / f"{name}.safetensors"
    if not path.is_file():
        raise FileNotFoundError(
            f"Mini Flux's weights are not at {path.parent.name}/{path.name} in the pack's folder "
            "`mini`. Fetch the pack again, or make them with `python3 dev.py train-mini`."
        )
    return comfy.utils.load_torch_file(str(path), safe_load=True)


@cache
def preview_colors() -> tuple[list, list]:
    """RGB per latent channel [16][3] and a bias [3] for the host's latent preview, fitted when the
    VAE was trained.
    """
    weights = read("vae")
    return weights["preview.factors"].tolist(), weights["preview.bias"].tolist()


class MiniLatents(comfy.supported_models.latent_formats.Flux):
    """Flux's latent format with the mini VAE's preview colors."""

    def __init__(self):
        super().__init__()
        self.latent_rgb_factors, self.latent_rgb_factors_bias = preview_colors()
        self.taesd_decoder_name = None


class MiniFlux(comfy.supported_models.Flux):
    latent_format = MiniLatents


def mini_model(weights: dict | None = None) -> comfy.model_patcher.ModelPatcher:
    weights = weights or read("flux")
    device = comfy.model_management.get_torch_device()
    offload = comfy.model_management.unet_offload_device()
    config = MiniFlux(dict(FLUX_CONFIG))
    parameters = sum(w.numel() for w in weights.values())
    dtype = comfy.model_management.unet_dtype(
        model_params=parameters, supported_dtypes=config.supported_inference_dtypes
    )
    config.set_inference_dtype(dtype, comfy.model_management.unet_manual_cast(dtype, device))
    model = comfy.model_base.Flux(config, device=offload)
    model.load_model_weights(dict(weights), "")
    return comfy.model_patcher.CoreModelPatcher(model, load_device=device, offload_device=offload)


def mini_clip(weights: dict | None = None) -> comfy.sd.CLIP:
    weights = weights or read("text")
    target = comfy.supported_models_base.ClipTarget(MiniTokenizer, MiniTextEncoder)
    return comfy.sd.CLIP(
        target, parameters=sum(w.numel() for w in weights.values()), state_dict=dict(weights)
    )


def mini_vae(weights: dict | None = None) -> comfy.sd.VAE:
    weights = weights or {k: v for k, v in read("vae").items() if not k.startswith("preview.")}
    vae: Any = host_vae()  # the host lists the first-stage models that a VAE may have
    codec = Codec()
    codec.load_state_dict({k: v.float() for k, v in weights.items()})
    vae.first_stage_model = codec.eval().requires_grad_(False).to(vae.vae_dtype)
    vae.patcher = comfy.model_patcher.CoreModelPatcher(
        codec, load_device=vae.device, offload_device=comfy.model_management.vae_offload_device()
    )
    vae.latent_channels = LATENT_CHANNELS
    vae.size = None
    return vae


def host_vae() -> comfy.sd.VAE:
    """The host's VAE object around the smallest first-stage model it can build, for the codec to
    take its place.
    """
    sizes = {
        "double_z": True,
        "z_channels": LATENT_CHANNELS,
        "resolution": 8,
        "in_channels": 3,
        "out_ch": 3,
        "ch": 32,
        "ch_mult": [1],
        "num_res_blocks": 0,
        "attn_resolutions": [],
        "dropout": 0.0,
    }
    params = {"ddconfig": sizes, "embed_dim": LATENT_CHANNELS}
    weights = comfy.ldm.models.autoencoder.AutoencoderKL(**params).state_dict()
    return comfy.sd.VAE(weights, config={"params": params})
