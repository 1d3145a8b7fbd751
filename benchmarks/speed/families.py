"""`dev.py bench speed --family NAME`: what a step with both texts costs in a model family.

On random weights in the host's own class: a few blocks of it, its own width of head and usual
number of text tokens, and 1024 tokens of image.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import comfy.model_management
import comfy.model_patcher
import torch

from coupled.attention import couple_conditioning
from coupled.attention.families import architecture_of
from coupled.sampling import couple
from coupled.schedules import constant

from .bench import compare, make_random_model, sample, time_in_turn

HEADS, WIDTH, BLOCKS = 4, 512, 3
HALF = constant(0.5)
IMAGES, REPEATS = 4, 3


@dataclass(frozen=True)
class Family:
    """kind: the host's class in supported_models. text: tokens and width of a text. latent: its
    axes after the batch. pooled: width of that vector. ids: whether there are numbered tokens.
    """

    kind: str
    config: dict
    text: tuple[int, int]
    latent: tuple[int, ...] = (16, 64, 64)
    pooled: int | None = None
    ids: bool = False

    def model(self) -> comfy.model_patcher.ModelPatcher:
        on_cpu = comfy.model_management.get_torch_device().type == "cpu"
        dtype = torch.float32 if on_cpu else torch.bfloat16
        return make_random_model(self.kind, self.config, dtype)

    def conditioning(self, seed: int) -> list:
        generator = torch.Generator().manual_seed(seed)
        tokens, width = self.text
        values = {}
        if self.pooled:
            values["pooled_output"] = torch.randn(1, self.pooled, generator=generator)
        if self.ids:
            values["t5xxl_ids"] = torch.randint(1, 32000, (tokens,), generator=generator).int()
            values["t5xxl_weights"] = torch.ones(tokens)
        return [[torch.randn(1, tokens, width, generator=generator), values]]


FLUX = {
    "in_channels": 16,
    "out_channels": 16,
    "vec_in_dim": None,
    "context_in_dim": 4096,
    "hidden_size": WIDTH,
    "mlp_ratio": 4.0,
    "num_heads": HEADS,
    "depth": 1,
    "depth_single_blocks": 2,
    "axes_dim": [16, 56, 56],
    "theta": 10000,
    "patch_size": 2,
    "qkv_bias": True,
    "txt_ids_dims": [],
}
NEXT_DIT = {
    "image_model": "lumina2",
    "patch_size": 2,
    "in_channels": 16,
    "n_layers": BLOCKS,
    "n_heads": HEADS,
    "qk_norm": True,
}
UNET = {
    "image_size": 32,
    "in_channels": 4,
    "out_channels": 4,
    "use_spatial_transformer": True,
    "legacy": False,
    "num_res_blocks": [1, 1, 1],
    "channel_mult": [1, 2, 4],
}
FAMILIES = {
    "Flux.1": Family(
        "Flux",
        {**FLUX, "image_model": "flux", "vec_in_dim": 768, "guidance_embed": True},
        (256, 4096),
        pooled=768,
    ),
    "Flux.2": Family(
        "Flux2",
        {
            **FLUX,
            "image_model": "flux2",
            "guidance_embed": True,
            "in_channels": 128,
            "out_channels": 128,
            "context_in_dim": 7680,
            "axes_dim": [32, 32, 32, 32],
            "theta": 2000,
            "patch_size": 1,
            "qkv_bias": False,
            "txt_ids_dims": [3],
            "global_modulation": True,
            "mlp_silu_act": True,
            "ops_bias": False,
            "default_ref_method": "index",
            "ref_index_scale": 10.0,
        },
        (512, 7680),
        (128, 32, 32),
    ),
    "Qwen-Image": Family(
        "QwenImage",
        {
            "image_model": "qwen_image",
            "in_channels": 64,
            "out_channels": 16,
            "num_layers": BLOCKS,
            "num_attention_heads": HEADS,
        },
        (64, 3584),
        (16, 1, 64, 64),
    ),
    "Chroma": Family(
        "Chroma",
        {
            **FLUX,
            "image_model": "chroma",
            "in_channels": 64,
            "out_channels": 64,
            "in_dim": 64,
            "out_dim": WIDTH,
            "hidden_dim": 256,
            "n_layers": 2,
        },
        (64, 4096),
    ),
    "Z-Image": Family(
        "ZImage",
        {
            **NEXT_DIT,
            "dim": WIDTH,
            "n_kv_heads": HEADS,
            "axes_dims": [32, 48, 48],
            "rope_theta": 256.0,
            "ffn_dim_multiplier": 8 / 3,
            "cap_feat_dim": 2560,
            "z_image_modulation": True,
            "time_scale": 1000.0,
            "pad_tokens_multiple": 32,
        },
        (64, 2560),
    ),
    "Lumina 2": Family(
        "Lumina2",
        {
            **NEXT_DIT,
            "dim": 384,
            "n_kv_heads": 2,
            "axes_dims": [32, 32, 32],
            "rope_theta": 10000.0,
            "ffn_dim_multiplier": 4.0,
            "cap_feat_dim": 2304,
        },
        (64, 2304),
    ),
    "Krea 2": Family(
        "Krea2",
        {
            "image_model": "krea2",
            "features": WIDTH,
            "heads": HEADS,
            "kvheads": 1,
            "layers": BLOCKS,
            "txtdim": 256,
            "txtheads": 2,
            "txtkvheads": 2,
        },
        (64, 12 * 256),
        (16, 1, 64, 64),
    ),
    "Stable Diffusion 3.5": Family(
        "SD3",
        {
            "in_channels": 16,
            "patch_size": 2,
            "depth": 6,  # and so wide are its blocks
            "input_size": None,
            "adm_in_channels": 2048,
            "context_embedder_config": {
                "target": "torch.nn.Linear",
                "params": {"in_features": 4096, "out_features": 384},
            },
            "num_patches": 64 * 64,
            "pos_embed_max_size": 64,
            "pos_embed_scaling_factor": None,
            "qk_norm": "rms",
            "x_block_self_attn_layers": [0, 1, 2],
        },
        (154, 4096),
        pooled=2048,
    ),
    "Anima": Family(
        "Anima",
        {
            "image_model": "anima",
            "max_img_h": 240,
            "max_img_w": 240,
            "max_frames": 128,
            "in_channels": 16,
            "out_channels": 16,
            "patch_spatial": 2,
            "patch_temporal": 1,
            "model_channels": WIDTH,
            "num_blocks": BLOCKS,
            "num_heads": HEADS,
            "crossattn_emb_channels": 1024,
            "pos_emb_cls": "rope3d",
            "pos_emb_learnable": False,
            "use_adaln_lora": True,
            "adaln_lora_dim": 256,
        },
        (64, 1024),
        (16, 1, 64, 64),
        ids=True,
    ),
    "HunyuanImage 2.1": Family(
        "HunyuanImage21",
        {
            **{k: v for k, v in FLUX.items() if k != "txt_ids_dims"},
            "image_model": "hunyuan_video",
            "guidance_embed": False,
            "in_channels": 64,
            "out_channels": 64,
            "patch_size": [1, 1],
            "context_in_dim": 3584,
            "axes_dim": [64, 64],
            "theta": 256,
            "byt5": True,
            "meanflow": False,
            "use_cond_type_embedding": False,
            "vision_in_dim": None,
            "meanflow_sum": False,
        },
        (64, 3584),
        (64, 32, 32),
    ),
    "Ideogram 4": Family(
        "Ideogram4",
        {
            "image_model": "ideogram4",
            "num_layers": BLOCKS,
            "num_attention_heads": 2,  # each is twice as wide
            "intermediate_size": 1024,
            "llm_features_dim": 4096,
        },
        (128, 4096),
        (128, 32, 32),
    ),
    "SDXL": Family(
        "SDXL",
        {
            **UNET,
            "model_channels": 128,
            "transformer_depth": [0, 1, 2],
            "transformer_depth_output": [0, 0, 1, 1, 2, 2],
            "transformer_depth_middle": 2,
            "context_dim": 2048,
            "use_linear_in_transformer": True,
            "num_head_channels": 64,
            "num_classes": "sequential",
            "adm_in_channels": 2816,
        },
        (77, 2048),
        (4, 64, 64),
        pooled=1280,
    ),
    "SD1.5": Family(
        "SD15",
        {
            **UNET,
            "model_channels": 128,
            "transformer_depth": [1, 1, 1],
            "transformer_depth_output": [1, 1, 1, 1, 1, 1],
            "transformer_depth_middle": 1,
            "context_dim": 768,
            "use_linear_in_transformer": False,
            "num_heads": 8,
            "num_classes": None,
            "adm_in_channels": None,
        },
        (77, 768),
        (4, 32, 32),
    ),
}


class FamilyBench:
    """A family's model and steps of it that give seconds."""

    def __init__(self, name: str):
        self.family = FAMILIES[name]
        self.model = self.family.model()
        assert architecture_of(self.model.model.diffusion_model).name == name

    def stock(self, n: int) -> None:
        self.step(self.model, self.family.conditioning(1), n)

    def coupled(self, n: int, mode: str) -> None:
        background, *entities = (self.family.conditioning(seed) for seed in range(n + 1))
        self.step(couple(self.model, HALF, mode), couple_conditioning(background, entities), n)

    def step(self, model, positive: list, n: int) -> None:
        negative = self.family.conditioning(90)
        sample(model, positive, negative, torch.zeros(n, *self.family.latent))


def measure_family(name: str) -> dict[str, dict]:
    """Ratios of a mixed step against a stock step of as many images."""
    bench, found = FamilyBench(name), {}
    for n, modes in ((1, ["exact", "paper"]), (IMAGES, ["exact", "local"])):
        runs: dict[str, Callable[[], None]] = {"stock": partial(bench.stock, n)}
        runs |= {mode: partial(bench.coupled, n, mode) for mode in modes}
        seconds = time_in_turn(runs, REPEATS)
        for mode in modes:
            found[f"{mode}, batch {n}"] = compare(seconds[mode], seconds["stock"])
    return found


def print_family(name: str) -> None:
    for case, own in measure_family(name).items():
        spread = f"{own['least']:.2f} to {own['greatest']:.2f}"
        print(f"{name}, {case}: {own['ratio']:.2f} ({spread})", flush=True)
