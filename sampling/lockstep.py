"""Samples a coupled set, in one pass or several.

However the set is separated into passes, the images are the same.
"""

import dataclasses
import functools
import logging
import math
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import comfy.model_management
import comfy.model_patcher
import comfy.sample
import comfy.samplers
import comfy.utils
import torch

from ..attention import has_plate, select_images
from ..attention.conditioning import Conditioning
from ..attention.plate import REPORT, check_regions, check_start
from ..attention.report import Report
from .alike import alike, alike_for_plate
from .checks import (
    check_fit,
    check_fit_of_set,
    check_names,
    check_negative,
    check_negative_size,
    check_result,
    check_settings,
)
from .couple import plate_settings, select_regions
from .noise import draw_shared_noise
from .preview import SetProgress

Callback = Callable[[range, int, torch.Tensor, torch.Tensor, int], None]
# Of an empty latent; the host drops them as well.
DROPPED = ("downscale_ratio_spacial", "downscale_ratio_temporal")


def sample_set(
    model,
    positive: list,
    latent: dict,
    seed: int,
    steps: int,
    sampler_name: str = "euler",
    scheduler: str = "simple",
    denoise: float = 1.0,
    images_per_pass: int = 0,
    negative: list | None = None,
    cfg: float = 1.0,
    callback: Callback | None = None,
    report: Report | None = None,
) -> dict:
    """All images of a coupled set, as the host's KSampler would make them.

    Parameters:
        model: a ModelPatcher that `couple` made; a stock one samples plainly: each image from the
            background's tokens followed by its entity's.
        positive: the coupled conditioning of `encode_set`; its n images are made.
        latent: a LATENT of one row, used for every image, or of n rows, [n, C, H, W].
        seed, steps, sampler_name, scheduler, denoise: as of the host's KSampler.
        images_per_pass: how many images are sampled at once; 0 takes all, and halves the pass
            when memory is short. It changes no image.
        negative, cfg: classifier-free guidance; a negative is needed unless cfg is 1.
        callback: called after each step with (images of the pass, step, x0, x, total steps).
        report: hears of each pass, in mode local.

    Returns a LATENT, samples [n, C, H, W]; its batch_index names the one noise n times.

    ValueError, before anything is sampled, if the parts do not fit together or the sampler's noise
    cannot be shared; after it, if the result contains NaN or infinity. The host's out-of-memory
    error if not even one image at a time fits.
    """
    check_settings(steps, denoise, images_per_pass, cfg)
    check_names(sampler_name, scheduler)
    check_negative(negative, cfg, sampler_name)
    n = check_fit_of_set(positive, latent)
    check_negative_size(negative, n)
    run = plan_run(
        model,
        latent,
        n,
        seed=seed,
        steps=steps,
        sampler_name=sampler_name,
        scheduler=scheduler,
        denoise=denoise,
        positive=positive,
        negative=negative,
        cfg=cfg,
    )
    run.check_plate()
    samples = sample_in_passes(run, n, images_per_pass, callback)
    check_result(samples)
    run.report.log()
    if report is not None:
        report.passes += run.report.passes
    return to_latent(latent, samples)


def plan_run(
    model,
    latent: dict,
    n: int,
    *,
    seed: int,
    steps: int,
    sampler_name: str,
    scheduler: str,
    denoise: float = 1.0,
    positive: Conditioning | None = None,
    negative: Conditioning | None = None,
    cfg: float = 1.0,
) -> "Run":
    """All that sampling n images needs, as the host's KSampler would set it up, with one noise.

    ValueError if the latent does not fit the model.
    """
    images = fit_latent(model, latent, n)
    host = comfy.samplers.KSampler(
        model, steps, model.load_device, sampler_name, scheduler, denoise, model.model_options
    )
    return Run(
        model=model,
        positive=positive or [],
        negative=negative,
        cfg=cfg,
        sampler_name=sampler_name,
        sigmas=host.sigmas,
        seed=seed,
        latent_NCHW=images,
        noise_NCHW=draw_shared_noise({**latent, "samples": images}, seed, n),
        mask=mask_rows(latent.get("noise_mask"), images),
    )


def to_latent(latent: dict, samples: torch.Tensor) -> dict:
    """The samples as a LATENT like the given one.

    Its batch_index names their one noise n times, so that an image taken out of the batch gets the
    same noise again in a second pass; without one the host would count the images.
    """
    kept = {k: v for k, v in latent.items() if k not in DROPPED}
    index = (kept.get("batch_index") or [0])[:1] * len(samples)
    return {**kept, "samples": samples, "batch_index": index}


def fit_latent(model, latent: dict, n: int) -> torch.Tensor:
    """The latent's rows as the model takes them, n of them. ValueError if it cannot."""
    # By name, and only what the latent says: older hosts know no temporal ratio.
    ratios = {key: latent[key] for key in DROPPED if key in latent}
    samples = comfy.sample.fix_empty_latent_channels(model, latent["samples"], **ratios)
    check_fit(model, samples)
    return comfy.utils.repeat_to_batch_size(samples, n)


def mask_rows(mask: torch.Tensor | None, images: torch.Tensor) -> torch.Tensor | None:
    """A noise mask with one row per image, so that a pass can take its own.

    Of videos all share one mask.
    """
    if mask is None or images.ndim != 4:
        return mask
    return comfy.utils.repeat_to_batch_size(mask.reshape(-1, 1, *mask.shape[-2:]), images.shape[0])


class Samples(Protocol):
    """What makes some images of a set: a Run, or what stands before one."""

    def sample(self, images: range, callback: Callable, /) -> torch.Tensor: ...


@dataclasses.dataclass(frozen=True)
class Run:
    """Everything that the passes of one set share.

    The tensors hold all images; a pass takes its rows.
    """

    model: Any
    positive: Conditioning
    negative: Conditioning | None
    cfg: float
    sampler_name: str
    sigmas: torch.Tensor
    seed: int
    latent_NCHW: torch.Tensor
    noise_NCHW: torch.Tensor
    mask: torch.Tensor | None  # [N, 1, H, W]; of videos as the host takes it
    report: Report = dataclasses.field(default_factory=Report)

    def check_plate(self) -> None:
        """ValueError if no plate can be made; here, because a pass of one image tells nothing."""
        if not has_plate(self.model):
            return
        settings = plate_settings(self.model)
        if settings.regions_nHW is not None:
            check_regions(settings.regions_nHW, len(self.noise_NCHW))
        if settings.plate_1CHW is None:
            check_start(self.model, self.noise_NCHW, self.latent_NCHW, self.sigmas, self.mask)

    def sample(
        self, images: range, callback: Callable, sampler: comfy.samplers.Sampler | None = None
    ) -> torch.Tensor:
        """The latents of some images, [len(images), C, H, W]; by `sampler` if given."""
        rows = self.rows(images)
        mask = self.mask if self.mask is None or self.latent_NCHW.ndim != 4 else self.mask[rows]
        n = len(images)
        guider = self.guider(rows)
        heard = guider.model_options["transformer_options"][REPORT] = Report()
        samples = guider.sample(
            self.noise_NCHW[rows],
            self.latent_NCHW[rows],
            sampler or comfy.samplers.sampler_object(self.sampler_name),
            self.sigmas.clone(),  # uni_pc writes into them
            denoise_mask=mask,
            callback=lambda step, x0, x, total: callback(step, x0[-n:], x[-n:], total),
            disable_pbar=not comfy.utils.PROGRESS_BAR_ENABLED,
            seed=self.seed,
        )
        self.report.passes += [one.last(n) for one in heard.passes]
        return samples[-n:].to(
            comfy.model_management.intermediate_device(),
            comfy.model_management.intermediate_dtype(),
        )

    def rows(self, images: range) -> list[int]:
        """The images that a pass makes to get some: where the first one leads, it comes first."""
        return [0, *images] if images.start > 0 and self.first_leads else list(images)

    @functools.cached_property
    def first_leads(self) -> bool:
        """Whether the images would give different background plates: the first row of a pass makes
        the plate, and all passes need the same. (Different latents are refused before.)
        """
        conds = [c for c in (self.positive, self.negative) if c is not None]
        same = alike(self.mask) and all(map(alike_for_plate, conds))
        return has_plate(self.model) and not same

    def guider(self, images: Sequence[int]) -> comfy.samplers.CFGGuider:
        """The host's guidance for some images.

        Without a negative it has none: at cfg 1 the host asks for none.
        """
        conds = {"positive": self.positive, "negative": self.negative}
        guider = comfy.samplers.CFGGuider(select_regions(self.model, images))
        guider.model_options = comfy.model_patcher.create_model_options_clone(guider.model_options)
        guider.inner_set_conds(
            {k: select_images(c, images) for k, c in conds.items() if c is not None}
        )
        guider.set_cfg(self.cfg)
        return guider


def sample_in_passes(
    run: Run, n: int, images_per_pass: int, callback: Callback | None
) -> torch.Tensor:
    """All n images, some at a time.

    At images_per_pass = 0 a pass that finds no memory is halved and tried again.
    """
    may_halve = images_per_pass == 0
    size = first_size(run.model, run.latent_NCHW.shape) if may_halve else images_per_pass
    progress = SetProgress(run.model, n, len(run.sigmas) - 1)
    done = []
    passes_done = 0
    while len(done) < n:
        images = range(len(done), min(len(done) + size, n))
        step_done = progress.callback(
            images, passes_done, passes_done + math.ceil((n - len(done)) / size)
        )
        samples = attempt(run, images, with_caller(step_done, images, callback), may_halve)
        if samples is None:
            size = halve(len(images))
            logging.warning(
                "Coupled: not enough memory for %d images at once; going on with %d per pass. The"
                " images come out the same.",
                len(images),
                size,
            )
            continue
        done.extend(samples)
        passes_done += 1
    return torch.stack(done)


def attempt(
    run: Samples, images: range, callback: Callable, may_halve: bool
) -> torch.Tensor | None:
    """One pass; None when it ran out of memory and fewer images may fit."""
    try:
        return run.sample(images, callback)
    except Exception as error:
        if not may_halve or not comfy.model_management.is_oom(error):
            raise
        if len(images) == 1:
            raise comfy.model_management.OOM_EXCEPTION(
                "There is not enough memory for even one image at a time. Make the latent smaller,"
                " load the model in a smaller number format, or start the host with --lowvram."
                f" ({error})"
            ) from error
    # here, where the failed pass's tensors are gone with its traceback
    comfy.model_management.soft_empty_cache()
    return None


def first_size(model, shape: torch.Size) -> int:
    """The number of images, halved until the host's estimate of a pass fits the device."""
    total = comfy.model_management.get_total_memory(model.load_device)
    size = shape[0]
    while size > 1 and model.memory_required([size, *shape[1:]]) > total:
        size = halve(size)
    return size


def halve(size: int) -> int:
    return (size + 1) // 2


def with_caller(step_done: Callable, images: range, callback: Callback | None) -> Callable:
    """The host's callback of a pass: progress first, then the caller's own."""

    def run(step: int, x0: torch.Tensor, x: torch.Tensor, total_steps: int) -> None:
        step_done(step, x0, x, total_steps)
        if callback is not None:
            callback(images, step, x0, x, total_steps)

    return run
