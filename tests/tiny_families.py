"""Small random models of every family that can be coupled, in the host's own classes, random texts
for them, and whole runs.
"""

import dataclasses
import importlib
from collections.abc import Callable, Sequence

import comfy.model_base
import comfy.model_patcher
import comfy.sample
import comfy.supported_models
import torch

from tiny import CONFIG, POOLED_DIM, TEXT_DIM, fill


@dataclasses.dataclass(frozen=True)
class Tiny:
    """name: of the pack's Architecture. kind: the host's class in supported_models and
    model_base. latent: its axes after the batch, of an odd size.
    """

    name: str
    kind: str
    config: dict
    width: int
    latent: tuple[int, ...]
    pooled: int | None = None
    ids: bool = False  # whether a text has numbered tokens too
    quoted: int | None = None  # width of words in quotes, which every second text has
    own: dict = dataclasses.field(default_factory=dict)  # attributes of the model's configuration

    def model(
        self, seed: int = 0, gain: float = 1.0, dtype=torch.float32, operations=None
    ) -> comfy.model_patcher.ModelPatcher:
        """dtype: of the weights, float32 is computed with. operations: in place of the host's."""
        kind = getattr(comfy.supported_models, self.kind)
        config = {**self.config, "dtype": dtype}
        settings = kind(config)
        settings.custom_operations = operations
        if dtype != torch.float32:
            settings.set_inference_dtype(dtype, torch.float32)
        settings.unet_config.update(config)  # not the sizes that the class knows
        model = settings.get_model({}, "", torch.device("cpu"))
        adapter = getattr(model.diffusion_model, "llm_adapter", None)
        if adapter is not None:  # whose size the host sets
            adapter.blocks = adapter.blocks[:1]
        fill(model.diffusion_model, seed, gain)
        positions = getattr(model.diffusion_model, "pos_embed", None)
        if isinstance(positions, torch.Tensor):
            generator = torch.Generator().manual_seed(seed)
            positions.copy_(torch.randn(positions.shape, generator=generator))
        cpu = torch.device("cpu")
        return comfy.model_patcher.ModelPatcher(model, load_device=cpu, offload_device=cpu)

    def text(self, tokens: int, seed: int = 0) -> list:
        """A random text as an ordinary CONDITIONING."""
        generator = torch.Generator().manual_seed(1000 + seed)
        values = {}
        if self.pooled:
            values["pooled_output"] = torch.randn(1, self.pooled, generator=generator)
        if self.ids:  # of another tokenizer, so of another number
            values["t5xxl_ids"] = torch.randint(1, 32000, (tokens + 2,), generator=generator).int()
            values["t5xxl_weights"] = 0.5 + torch.rand(tokens + 2, generator=generator)
        if self.quoted and seed % 2:
            words = torch.randn(1, 2 + seed % 5, self.quoted, generator=generator)
            values["conditioning_byt5small"] = words
        return [[torch.randn(1, tokens, self.width, generator=generator), values]]

    def texts(self, background: int, entities: Sequence[int]) -> tuple[list, list[list]]:
        """A background of so many tokens, and entities."""
        return self.text(background, seed=1), [
            self.text(tokens, seed=2 + i) for i, tokens in enumerate(entities)
        ]

    def noise(self, batch: int = 1) -> torch.Tensor:
        """One random latent for every image of the batch."""
        generator = torch.Generator().manual_seed(2000)
        noise = torch.randn(1, *self.latent, generator=generator)
        return noise.repeat(batch, *([1] * len(self.latent)))

    def sample(self, patcher, positive: list, negative: list | None = None, **settings):
        """A whole run through the host's sample(); the rows that the context has."""
        batch = positive[0][0].shape[0]
        defaults = {"steps": 2, "cfg": 1.0, "sampler_name": "euler", "scheduler": "simple"}
        return comfy.sample.sample(
            patcher,
            self.noise(batch),
            positive=positive,
            negative=self.text(6, seed=90) if negative is None else negative,
            latent_image=torch.zeros_like(self.noise(batch)),
            seed=7,
            **{**defaults, **settings},
        )

    def literal(self) -> Callable:
        """The literal second implementation: literal_families.<name>."""
        name = self.name.lower().replace(" ", "_").replace("-", "_").replace(".", "")
        return getattr(importlib.import_module("literal_families"), name)


FLUX1 = Tiny("Flux.1", "Flux", CONFIG, width=TEXT_DIM, latent=(16, 9, 13), pooled=POOLED_DIM)
FLUX2 = Tiny(
    "Flux.2",
    "Flux2",
    {
        **CONFIG,
        "image_model": "flux2",
        "in_channels": 128,
        "out_channels": 128,
        "vec_in_dim": None,
        "axes_dim": [4, 4, 4, 4],
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
    width=32,
    latent=(128, 5, 7),
)

QWEN_IMAGE = Tiny(
    "Qwen-Image",
    "QwenImage",
    {
        "image_model": "qwen_image",
        "in_channels": 64,
        "out_channels": 16,
        "num_layers": 2,
        "attention_head_dim": 16,
        "num_attention_heads": 4,
        "joint_attention_dim": 32,
        "axes_dims_rope": (4, 6, 6),
    },
    width=32,
    latent=(16, 1, 9, 13),
)
CHROMA = Tiny(
    "Chroma",
    "Chroma",
    {
        "image_model": "chroma",
        "in_channels": 64,
        "out_channels": 64,
        "context_in_dim": 32,
        "hidden_size": 64,
        "mlp_ratio": 2.0,
        "num_heads": 4,
        "depth": 2,
        "depth_single_blocks": 2,
        "axes_dim": [4, 6, 6],
        "theta": 10000,
        "patch_size": 2,
        "qkv_bias": True,
        "in_dim": 64,
        "out_dim": 64,
        "hidden_dim": 64,
        "n_layers": 2,
        "txt_ids_dims": [],
        "vec_in_dim": None,
    },
    width=32,
    latent=(16, 9, 13),
)
NEXT_DIT = {
    "image_model": "lumina2",
    "patch_size": 2,
    "in_channels": 16,
    "dim": 64,
    "n_layers": 2,
    "n_refiner_layers": 2,
    "n_heads": 4,
    "multiple_of": 32,
    "ffn_dim_multiplier": 2.0,
    "cap_feat_dim": 32,
    "axes_dims": [4, 6, 6],
    "qk_norm": True,
}
LUMINA2 = Tiny(
    "Lumina 2",
    "Lumina2",
    {**NEXT_DIT, "n_kv_heads": 2, "rope_theta": 10000.0},
    width=32,
    latent=(16, 9, 13),
)
Z_IMAGE = Tiny(
    "Z-Image",
    "ZImage",
    {
        **NEXT_DIT,
        "dim": 256,  # z_image_modulation needs so much
        "axes_dims": [16, 24, 24],
        "rope_theta": 256.0,
        "z_image_modulation": True,
        "time_scale": 1000.0,
        "pad_tokens_multiple": 32,
    },
    width=32,
    latent=(16, 9, 13),
)
KREA2 = Tiny(
    "Krea 2",
    "Krea2",
    {
        "image_model": "krea2",
        "features": 64,
        "tdim": 32,
        "txtdim": 32,
        "heads": 4,
        "kvheads": 2,
        "multiplier": 2,
        "layers": 2,
        "txtlayers": 3,
        "txtheads": 2,
        "txtkvheads": 2,
    },
    width=96,
    latent=(16, 1, 9, 13),
)
SD3 = Tiny(
    "Stable Diffusion 3.5",
    "SD3",
    {
        "in_channels": 16,
        "patch_size": 2,
        "depth": 2,
        "input_size": None,
        "adm_in_channels": 24,
        "context_embedder_config": {
            "target": "torch.nn.Linear",
            "params": {"in_features": 32, "out_features": 128},
        },
        "num_patches": 256,
        "pos_embed_max_size": 16,
        "pos_embed_scaling_factor": None,
        "qk_norm": "rms",
        "x_block_self_attn_layers": [0],
    },
    width=32,
    latent=(16, 9, 13),
    pooled=24,
)
ANIMA = Tiny(
    "Anima",
    "Anima",
    {
        "image_model": "anima",
        "max_img_h": 64,
        "max_img_w": 64,
        "max_frames": 4,
        "in_channels": 16,
        "out_channels": 16,
        "patch_spatial": 2,
        "patch_temporal": 1,
        "model_channels": 96,
        "num_blocks": 2,
        "num_heads": 2,
        "crossattn_emb_channels": 1024,
        "pos_emb_cls": "rope3d",
        "pos_emb_learnable": False,
        "use_adaln_lora": True,
        "adaln_lora_dim": 16,
    },
    width=1024,  # which the host's adapter takes
    latent=(16, 1, 9, 13),
    ids=True,
)
IDEOGRAM4 = Tiny(
    "Ideogram 4",
    "Ideogram4",
    {
        "image_model": "ideogram4",
        "in_channels": 128,
        "num_layers": 2,
        "num_attention_heads": 4,
        "attention_head_dim": 16,
        "intermediate_size": 96,
        "adaln_dim": 32,
        "llm_features_dim": 32,
        "rope_theta": 10000,
        "mrope_section": [4, 2, 2],
        "norm_eps": 1e-5,
    },
    width=32,
    latent=(128, 5, 7),
)
HUNYUAN_IMAGE = Tiny(
    "HunyuanImage 2.1",
    "HunyuanImage21",
    {
        "image_model": "hunyuan_video",
        "in_channels": 64,
        "out_channels": 64,
        "patch_size": [1, 1],
        "vec_in_dim": None,
        "context_in_dim": 64,  # as wide as the blocks, as in the released model
        "hidden_size": 64,
        "mlp_ratio": 2.0,
        "num_heads": 4,
        "depth": 2,
        "depth_single_blocks": 2,
        "axes_dim": [8, 8],
        "theta": 256,
        "qkv_bias": True,
        "guidance_embed": True,
        "byt5": True,
        "meanflow": False,
        "use_cond_type_embedding": False,
        "vision_in_dim": None,
        "meanflow_sum": False,
    },
    width=64,
    latent=(64, 5, 7),
    quoted=1472,
)
UNET = {
    "image_size": 32,
    "in_channels": 4,
    "out_channels": 4,
    "model_channels": 32,
    "num_res_blocks": [1, 1, 1],
    "channel_mult": [1, 2, 2],
    "transformer_depth": [0, 1, 2],
    "transformer_depth_output": [0, 0, 1, 1, 2, 2],
    "transformer_depth_middle": 1,
    "use_spatial_transformer": True,
    "legacy": False,
    "context_dim": 32,
    "use_linear_in_transformer": True,
    "num_head_channels": 16,
    "num_classes": "sequential",
    "adm_in_channels": 2816,
}
SDXL = Tiny("SDXL", "SDXL", UNET, width=32, latent=(4, 17, 25), pooled=1280)
SD15 = Tiny(
    "SD1.5",
    "SD15",
    {
        **UNET,
        "transformer_depth": [1, 1, 0],
        "transformer_depth_output": [1, 1, 1, 1, 0, 0],
        "use_linear_in_transformer": False,
        "num_heads": 4,
        "num_head_channels": -1,
        "num_classes": None,
        "adm_in_channels": None,
    },
    width=32,
    latent=(4, 9, 13),
    pooled=32,  # which it does not read
)

# All but Flux.1, which most tests are about
FAMILIES = [
    FLUX2, QWEN_IMAGE, CHROMA, Z_IMAGE, LUMINA2, KREA2, SD3, ANIMA, HUNYUAN_IMAGE, IDEOGRAM4, SDXL,
    SD15,
]  # fmt: skip
