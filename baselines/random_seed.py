"""The baseline "random seed": the stock model on each full prompt, with one noise."""

from collections.abc import Sequence

import torch

from ..sampling.preview import SetProgress
from .common import encode, finish, plan_baseline, stock_image


def random_seed(
    model,
    clip,
    prompts: Sequence[str],
    latent: dict,
    seed: int,
    steps: int,
    sampler_name: str = "euler",
    scheduler: str = "simple",
    guidance: float = 3.5,
) -> dict:
    """A LATENT [n, C, H, W]: image i is what the host's KSampler makes of prompt i with this seed,
    bit for bit.

    latent: one row, used for every image, or n. ValueError if something does not fit.
    """
    run = plan_baseline(
        model, clip, prompts, latent, seed, steps, sampler_name, scheduler, guidance, at_least=1
    )
    n = len(prompts)
    texts = [encode(clip, prompt, guidance) for prompt in prompts]
    progress = SetProgress(model, n, len(run.sigmas) - 1)
    # One by one: a kernel may round another way for a batch, and prompts need not be equally long.
    images = [
        stock_image(run, i, text, progress.callback([i], i, n)) for i, text in enumerate(texts)
    ]
    return finish(latent, torch.cat(images))
