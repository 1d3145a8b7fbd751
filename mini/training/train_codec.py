"""Trains the VAE.

Loss: L1 and L1 of the image gradients, both weighted towards the subject, and a little KL; latents
get noise.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch

from ..codec import Codec
from ..size import SIZE
from .augment import crops_at, pictures
from .dataset import SceneArrays, draw_index
from .loop import Budget, Rate, resume, train
from .optimizer import Optimizer
from .precision import autocast

# Of the latents' own spread: the decoder learns to forgive what a sampler leaves.
LATENT_NOISE = 0.1
KL_WEIGHT = 2e-4
# Of a picture a part is enough, and quicker: most parts show some of the subject.
CROP = SIZE // 2
SUBJECT_WEIGHT = 3.0  # extra weight of subject pixels: they are few, and the hardest to learn
FLUX_SCALE = 0.3611  # of the host's Flux latent format
FLUX_SHIFT = 0.1159


def gradients_loss(error_BCHW, weight_B1HW):
    dx = error_BCHW[..., 1:] - error_BCHW[..., :-1]
    dy = error_BCHW[..., 1:, :] - error_BCHW[..., :-1, :]
    across = (weight_B1HW[..., 1:] * dx.abs()).mean()
    down = (weight_B1HW[..., 1:, :] * dy.abs()).mean()
    return across + down


def codec_loss(codec: Codec, x_BCHW, weight_B1HW):
    """The loss, and the plain L1 for the log."""
    with autocast(x_BCHW.device):
        mean, logvar = codec.moments(x_BCHW)
        logvar = logvar.clamp(-12, 4)
        noise = torch.randn_like(mean) * ((0.5 * logvar).exp() + LATENT_NOISE)
        y_BCHW = codec.decode_raw(mean + noise).float()
    mean, logvar = mean.float(), logvar.float()
    kl = 0.5 * (mean.square() + logvar.exp() - 1 - logvar).mean()
    error_BCHW = y_BCHW - x_BCHW
    sharpness = gradients_loss(error_BCHW, weight_B1HW)
    loss = (weight_B1HW * error_BCHW.abs()).mean() + sharpness + KL_WEIGHT * kl
    return loss, error_BCHW.abs().mean()


def codec_batches(scenes: SceneArrays, batch: int, rng) -> Iterator[tuple]:
    """Parts of pictures in [-1, 1] and the weights of their pixels."""
    while True:
        index = draw_index(rng, scenes, batch)
        images_BCHW, masks_B1HW = crops_at(scenes, index, CROP, rng)
        x_BCHW = (2 * images_BCHW - 1).contiguous(memory_format=torch.channels_last)
        yield x_BCHW, 1 + SUBJECT_WEIGHT * masks_B1HW


def train_codec(
    scenes: SceneArrays, path: Path, budget: Budget, batch: int = 24, seed: int = 0
) -> Codec:
    """Train, going on from the weights at `path` where there are any; they are written there."""
    torch.manual_seed(seed)
    codec = Codec()
    rng = np.random.default_rng([seed, resume(codec, path)])
    # torch takes this option, but its annotations leave it out.
    cast(Any, codec).to(memory_format=torch.channels_last)
    optimizer = Optimizer(codec, decay=1e-4)
    batches = codec_batches(scenes, batch, rng)
    rate = Rate(2e-3, power=0.7)
    codec.load_state_dict(train("codec", optimizer, batches, codec_loss, rate, budget, path))
    set_statistics(codec, scenes)
    torch.save(codec.state_dict(), path)
    return codec


@torch.no_grad()
def set_statistics(codec: Codec, scenes: SceneArrays, count: int = 1024) -> None:
    """Scale latents per channel so that the host's Flux latent format brings them to mean 0,
    deviation 1.
    """
    slices = [slice(i, i + 64) for i in range(0, min(count, len(scenes)), 64)]
    mean_BCHW = torch.cat([codec.moments(pictures(scenes, part))[0] for part in slices])
    deviation_C = mean_BCHW.std((0, 2, 3))
    center_C = mean_BCHW.mean((0, 2, 3))
    codec.latent_scale.copy_(1 / (deviation_C * FLUX_SCALE))
    codec.latent_shift.copy_(FLUX_SHIFT - center_C * codec.latent_scale)
