"""The mini model's VAE: 3 × 8H × 8W pictures in [-1, 1] to and from 16 × H × W latents, as small as
will do.

Nearly all work is done at a quarter of the resolution and below, which is what makes it quick on a
CPU.
"""

import torch
from torch import nn
from torch.nn import functional as F

LATENT_CHANNELS = 16


class ResBlock(nn.Module):
    def __init__(self, channels: int, hidden: int | None = None):
        super().__init__()
        self.norm = nn.GroupNorm(8, channels)
        self.conv1 = nn.Conv2d(channels, hidden or channels, 3, padding=1)
        self.conv2 = nn.Conv2d(hidden or channels, channels, 3, padding=1)

    def forward(self, x):
        return x + self.conv2(F.silu(self.conv1(F.silu(self.norm(x)))))


class Codec(nn.Module):
    """`encode` gives the mean of the latents, `decode` the picture; the same calls as the host's
    first-stage models.
    """

    latent_scale: torch.Tensor
    latent_shift: torch.Tensor

    def __init__(self, width: int = 64, depth: int = 2):
        super().__init__()
        wide = 2 * width
        self.encoder = nn.Sequential(
            nn.PixelUnshuffle(4),
            nn.Conv2d(48, width, 3, padding=1),
            *[ResBlock(width) for _ in range(depth)],
            nn.Conv2d(width, wide, 3, stride=2, padding=1),
            *[ResBlock(wide) for _ in range(depth)],
            nn.GroupNorm(8, wide),
            nn.SiLU(),
            nn.Conv2d(wide, 2 * LATENT_CHANNELS, 3, padding=1),
        )
        self.decoder = nn.Sequential(
            nn.Conv2d(LATENT_CHANNELS, wide, 3, padding=1),
            *[ResBlock(wide) for _ in range(depth + 1)],
            nn.Conv2d(wide, 4 * width, 3, padding=1),
            nn.PixelShuffle(2),
            *[ResBlock(width) for _ in range(depth + 2)],
            nn.GroupNorm(8, width),
            nn.SiLU(),
            nn.Conv2d(width, 16 * 12, 3, padding=1),
            nn.PixelShuffle(4),
        )
        self.finish = nn.Sequential(
            nn.SiLU(), nn.Conv2d(12, 12, 3, padding=1), nn.SiLU(), nn.Conv2d(12, 3, 3, padding=1)
        )
        # Set after training, so that latents have the host's Flux latent statistics.
        self.register_buffer("latent_scale", torch.ones(LATENT_CHANNELS))
        self.register_buffer("latent_shift", torch.zeros(LATENT_CHANNELS))

    def moments(self, x_BCHW):
        """Mean and log-variance of the unscaled latents, each B × 16 × H × W."""
        return self.encoder(x_BCHW).chunk(2, dim=1)

    def decode_raw(self, z_BCHW):
        features = self.decoder(z_BCHW)
        return features[:, :3] + self.finish(features)

    def encode(self, x_BCHW):
        mean, _ = self.moments(x_BCHW)
        return mean * self.latent_scale[:, None, None] + self.latent_shift[:, None, None]

    def decode(self, z_BCHW):
        return self.decode_raw(
            (z_BCHW - self.latent_shift[:, None, None]) / self.latent_scale[:, None, None]
        )
