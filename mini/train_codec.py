"""Stage 1 of the mini model: the VAE.

Loss: L1 and L1 of the image gradients, both weighted towards the subject, and a little KL; latents
get noise.
"""

import time
from pathlib import Path

import numpy as np
import torch

from .augment import scenes_at
from .codec import Codec
from .dataset import SceneArrays

LATENT_NOISE = (
    0.1  # of the latents' own spread: the decoder learns to forgive what a sampler leaves
)
KL_WEIGHT = 2e-4
SUBJECT_WEIGHT = 3.0  # more that a subject's pixels count: they are few, and the hardest to learn
FLUX_SCALE, FLUX_SHIFT = 0.3611, 0.1159  # the host's Flux latent format


def pictures(scenes: SceneArrays, index) -> torch.Tensor:
    """B × 3 × H × W in [-1, 1]."""
    images_BHWC = torch.from_numpy(np.array(scenes.images_NHWC[index])).to(
        torch.get_default_device()
    )
    return images_BHWC.permute(0, 3, 1, 2).float() / 127.5 - 1


def gradients_loss(error, weight):
    dx = error[..., 1:] - error[..., :-1]
    dy = error[..., 1:, :] - error[..., :-1, :]
    return (weight[..., 1:] * dx.abs()).mean() + (weight[..., 1:, :] * dy.abs()).mean()


def loss_of(codec: Codec, x, weight):
    """The loss, and the plain L1 for the log. x: B × 3 × H × W, weight: B × 1 × H × W."""
    with torch.autocast(x.device.type, torch.bfloat16):
        mean, logvar = codec.moments(x)
        logvar = logvar.clamp(-12, 4)
        noise = torch.randn_like(mean) * ((0.5 * logvar).exp() + LATENT_NOISE)
        y = codec.decode_raw(mean + noise).float()
    mean, logvar = mean.float(), logvar.float()
    kl = 0.5 * (mean.square() + logvar.exp() - 1 - logvar).mean()
    error = y - x
    return (weight * error.abs()).mean() + gradients_loss(
        error, weight
    ) + KL_WEIGHT * kl, error.abs().mean()


def train_codec(
    scenes: SceneArrays,
    path: Path,
    minutes: float,
    batch: int = 24,
    rate: float = 2e-3,
    seed: int = 0,
):
    """Train for `minutes`, going on from the weights at `path` where there are any, and write them
    there as it goes.
    """
    torch.manual_seed(seed)
    codec = Codec()
    if path.is_file():
        codec.load_state_dict(torch.load(path, weights_only=True))
    codec = codec.to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(codec.parameters(), lr=rate, betas=(0.9, 0.98), weight_decay=1e-4)
    average = {k: v.clone() for k, v in codec.state_dict().items()}
    start, step, sampler = time.time(), 0, np.random.default_rng(seed)
    while (progress := (time.time() - start) / (60 * minutes)) < 1:
        for group in optimizer.param_groups:
            group["lr"] = rate * min(1, step / 100) * (1 - progress) ** 0.7
        index = np.sort(sampler.integers(len(scenes), size=batch))
        images, masks = scenes_at(scenes, index)
        x = (2 * images - 1).contiguous(memory_format=torch.channels_last)
        loss, l1 = loss_of(codec, x, 1 + SUBJECT_WEIGHT * masks)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(codec.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        step += 1
        decay = min(0.998, step / (step + 20))
        for k, v in codec.state_dict().items():
            average[k].lerp_(v, 1 - decay) if v.is_floating_point() else average[k].copy_(v)
        if step % 50 == 0:
            print(
                f"codec step {step} l1 {l1.item():.4f} {step * batch / (time.time() - start):.1f}"
                f" img/s {progress:.0%}",
                flush=True,
            )
            torch.save(average, path)
    codec.load_state_dict(average)
    set_statistics(codec, scenes)
    torch.save(codec.state_dict(), path)
    return codec


@torch.no_grad()
def set_statistics(codec: Codec, scenes: SceneArrays, count: int = 1024) -> None:
    """Scale latents per channel so that the host's Flux latent format brings them to mean 0,
    deviation 1.
    """
    mean = torch.cat(
        [codec.moments(pictures(scenes, slice(i, i + 64)))[0] for i in range(0, count, 64)]
    )
    deviation, centre = mean.std((0, 2, 3)), mean.mean((0, 2, 3))
    codec.latent_scale.copy_(1 / (deviation * FLUX_SCALE))
    codec.latent_shift.copy_(FLUX_SHIFT - centre * codec.latent_scale)
