"""Small random video models, Wan and LTX-Video, in the host's own classes: the model, its text
encoder, its VAE and, for Wan, its CLIP vision.
"""

import dataclasses
import io
import json
import string

import comfy.clip_vision
import comfy.ldm.lightricks.vae.causal_video_autoencoder
import comfy.ldm.wan.vae
import comfy.sd
import comfy.text_encoders.lt
import comfy.text_encoders.wan
import sentencepiece
import torch
from tiny_clips import T5, Encoder
from tiny_families import Tiny

from tiny import fill

PATCH = 56  # of the CLIP vision, whose pictures are 224 wide
IMAGE_TOKENS = (224 // PATCH) ** 2 + 1
VISION = {
    "model_type": "clip_vision_model",
    "num_hidden_layers": 2,
    "hidden_size": 1280,  # which the host's Wan takes in any case
    "num_attention_heads": 4,
    "intermediate_size": 16,
    "hidden_act": "gelu",
    "num_channels": 3,
    "patch_size": PATCH,
    "image_size": 224,
    "projection_dim": 16,
}
LTX_BLOCKS = [["res_x", 1], *[["compress_all", 1]] * 3, ["res_x", 1]]  # 2³, of patches of 4
LTX_SIZES = {
    "dims": 3,
    "latent_channels": 128,
    "blocks": LTX_BLOCKS,
    "encoder_base_channels": 16,
    "decoder_base_channels": 16,
    "norm_layer": "pixel_norm",
    "patch_size": 4,
    "latent_log_var": "uniform",
}
WAN = Tiny(
    "Wan",
    "WAN21_I2V",
    {
        "image_model": "wan2.1",
        "model_type": "i2v",
        "in_dim": 36,
        "out_dim": 16,
        "dim": 64,
        "ffn_dim": 64,
        "text_dim": 32,
        "num_heads": 4,
        "num_layers": 2,
        "flf_pos_embed_token_number": 2 * IMAGE_TOKENS,  # of the first and the last frame
    },
    width=32,
    latent=(16, 3, 9, 13),
)
LTX = Tiny(
    "LTX-Video",
    "LTXV",
    {
        "image_model": "ltxv",
        "in_channels": 128,
        "cross_attention_dim": 64,
        "attention_head_dim": 16,
        "num_attention_heads": 4,
        "caption_channels": 32,
        "num_layers": 2,
    },
    width=32,
    latent=(128, 3, 5, 7),
)


def letters() -> torch.Tensor:
    """A SentencePiece model of single letters, as a file of umT5 holds a large one."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([" ".join(string.printable.strip())] * 9),
        model_writer=model,
        model_type="char",
        vocab_size=90,
        hard_vocab_limit=False,
        pad_id=0,
        eos_id=1,
        unk_id=2,
        bos_id=-1,
        minloglevel=2,
    )
    return torch.frombuffer(bytearray(model.getvalue()), dtype=torch.uint8)


def wan_vae() -> comfy.sd.VAE:
    """4 times fewer frames but for the first, 8 times smaller ones, 16 channels."""
    sizes = {"dim": 8, "z_dim": 16, "temperal_downsample": [False, True, True]}
    weights = comfy.ldm.wan.vae.WanVAE(**sizes)
    fill(weights, 6)
    return comfy.sd.VAE(weights.state_dict())


def ltx_vae() -> comfy.sd.VAE:
    """8 times fewer frames but for the first, 32 times smaller ones, 128 channels."""
    kind = comfy.ldm.lightricks.vae.causal_video_autoencoder.VideoVAE
    weights = kind(config=LTX_SIZES)
    fill(weights, 6)
    statistics = weights.per_channel_statistics
    statistics.get_buffer("std-of-means").fill_(1)
    statistics.get_buffer("mean-of-means").zero_()
    metadata = {"config": json.dumps({"vae": LTX_SIZES})}
    return comfy.sd.VAE(weights.state_dict(), metadata=metadata)


def clip_vision() -> comfy.clip_vision.ClipVisionModel:
    vision = comfy.clip_vision.ClipVisionModel(VISION)
    fill(vision.model, 7)
    return vision


@dataclasses.dataclass(frozen=True)
class Film:
    """What a workflow of a video model loads: the parts of load()."""

    encoder: Encoder
    vae: comfy.sd.VAE
    vision: comfy.clip_vision.ClipVisionModel | None = None


def load(name: str) -> Film:
    """`Wan` or `LTX-Video`."""
    if name == WAN.name:
        tokens = {"spiece_model": letters()}
        kinds = comfy.text_encoders.wan.WanT5Tokenizer, comfy.text_encoders.wan.te()
        encoder = Encoder(WAN, *kinds, {"umt5xxl": T5}, tokens=tokens)
        return Film(encoder, wan_vae(), clip_vision())
    kinds = comfy.text_encoders.lt.LTXVT5Tokenizer, comfy.text_encoders.lt.ltxv_te()
    return Film(Encoder(LTX, *kinds, {"t5xxl": T5}), ltx_vae())
