"""Small random ControlNets for the families that ComfyUI has some for, in its own classes."""

from functools import partial

import comfy.cldm.mmdit
import comfy.controlnet
import comfy.ldm.qwen_image.controlnet
import comfy.ops
import torch
from tiny_families import QWEN_IMAGE, SD3, SD15, SDXL

from tiny import fill

OPERATIONS = comfy.ops.manual_cast
LATENT = 16  # channels of a hint that the VAE has encoded; here it is one already


def unet_control(config: dict) -> comfy.controlnet.ControlNet:
    config = {k: v for k, v in config.items() if k != "out_channels"}
    net = comfy.cldm.cldm.ControlNet(hint_channels=3, dtype=torch.float32, **config)
    return wrap(net)


def sd3_control(config: dict) -> comfy.controlnet.ControlNet:
    net = comfy.cldm.mmdit.ControlNet(
        num_blocks=config["depth"], dtype=torch.float32, operations=OPERATIONS, **config
    )
    net.pos_embed.normal_(generator=torch.Generator().manual_seed(5))
    return wrap(net, compression_ratio=1)


def qwen_control(config: dict) -> comfy.controlnet.ControlNet:
    net = comfy.ldm.qwen_image.controlnet.QwenImageControlNetModel(
        dtype=torch.float32, operations=OPERATIONS, **config
    )
    return wrap(net, compression_ratio=1, preprocess_image=partial(torch.unsqueeze, dim=2))


def wrap(net, **settings) -> comfy.controlnet.ControlNet:
    fill(net, 11)
    return comfy.controlnet.ControlNet(net, load_device=torch.device("cpu"), **settings)


# By the family's name: how one is made; channels of its hint; times the latent's size
CONTROLS = {
    SDXL.name: (unet_control, 3, 8),
    SD15.name: (unet_control, 3, 8),
    SD3.name: (sd3_control, LATENT, 1),
    QWEN_IMAGE.name: (qwen_control, LATENT, 1),
}
CONTROLLED = (SDXL, SD15, SD3, QWEN_IMAGE)


def controlled(tiny, conditioning, rows: int):
    """The conditioning with a ControlNet of the family, and so many hints for it."""
    make, channels, scale = CONTROLS[tiny.name]
    control = make(tiny.config)
    H, W = tiny.latent[-2:]
    generator = torch.Generator().manual_seed(3)
    control.set_cond_hint(torch.rand(rows, channels, scale * H, scale * W, generator=generator))
    return [[context, {**values, "control": control}] for context, values in conditioning]
