"""What sampling a set needs, and the sampling of some of its images."""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any

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
from .checks import check_fit
from .couple import plate_settings, select_regions
from .noise import draw_shared_noise

# Of an empty latent; the host drops them as well.
DROPPED = ("downscale_ratio_spacial", "downscale_ratio_temporal")


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
) -> Run:
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


def to_latent(latent: dict, samples: torch.Tensor) -> dict:
    """The samples as a LATENT like the given one.

    Its batch_index names their one noise n times, so that an image taken out of the batch gets the
    same noise again in a second pass; without one the host would count the images.
    """
    kept = {k: v for k, v in latent.items() if k not in DROPPED}
    index = (kept.get("batch_index") or [0])[:1] * len(samples)
    return {**kept, "samples": samples, "batch_index": index}
