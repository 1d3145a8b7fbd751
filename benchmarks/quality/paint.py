"""Makes and measures the images of a set by any method."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch

from coupled.metrics.background import background_similarity
from coupled.metrics.visible import psnr, ssim
from coupled.optimize import ModelMeter, Painter, Settings
from coupled.optimize.meter import none_if_nan
from coupled.sampling.decode import decode_each

from ..models import GUIDANCE
from ..sets import NamedSet
from ..store import Key, Record
from .methods import Baseline, Coupled, Method

MOST_DB = 100.0  # the PSNR of backgrounds that are the same, where it would be infinite


@dataclass(frozen=True)
class Job:
    """One result to be made."""

    set: NamedSet
    seed: int
    method: Method

    @property
    def key(self) -> Key:
        return self.set.name, self.seed, self.method.key


class JobPainter:
    """Makes the images of a job; all methods share the noise, the sampler and the steps."""

    def __init__(self, model, clip, vae, latent: dict, steps: int):
        self.model = model
        self.clip = clip
        self.vae = vae
        self.latent = latent
        self.steps = steps

    def paint(self, job: Job) -> torch.Tensor:
        """Images [n, H, W, 3] in [0, 1]."""
        method = job.method
        if isinstance(method, Baseline):
            return self.paint_baseline(job, method)
        return self.paint_coupled(job, method)

    def paint_baseline(self, job: Job, method: Baseline) -> torch.Tensor:
        samples = method.make(
            self.model,
            self.clip,
            job.set.prompts,
            self.latent,
            job.seed,
            self.steps,
            guidance=GUIDANCE,
        )["samples"]
        return decode_each(self.vae, samples).clamp(0, 1)

    def paint_coupled(self, job: Job, method: Coupled) -> torch.Tensor:
        settings = Settings(
            self.steps,
            guidance=GUIDANCE,
            mode=method.mode,
            entity_text=method.entity_text,
        )
        painter = Painter(
            self.model, self.clip, self.vae, [job.set], [job.seed], self.latent, settings
        )
        return painter.paint((0, 0), method.theta())


def measure(
    meter: ModelMeter, images_NHWC: torch.Tensor, masks_NHW: torch.Tensor, prompts: Iterable[str]
) -> Record:
    """The numbers of one result; None where there is none, and the reason."""
    found = background_similarity(images_NHWC, masks_NHW)
    record = {
        "f_bg": none_if_nan(found.f_bg),
        "validity_ratio": found.validity_ratio,
        "f_ti": none_if_nan(meter.text_alignment(images_NHWC, tuple(prompts))),
        "psnr": None,
        "ssim": None,
        "reason": found.reason,
    }
    if found.reason is None:
        decibels = psnr(images_NHWC, found.joint_region_HW)
        record["psnr"] = none_if_nan(min(decibels, MOST_DB))
        record["ssim"] = none_if_nan(ssim(images_NHWC, found.joint_region_HW))
    return record
