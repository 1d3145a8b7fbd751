"""The plate: the picture of the background text alone, which each image is outside its entity
(mode `local`).

It is sampled with a set, from the set's noise, as one more row of the batch that is cut off when
the run ends. Until theta rises the plate is the picture of every image. The user may give a picture
of his own in its place.

Legend: n images, the plate as row n, N = n + 1; C channels, H × W latent pixels, h × w image
tokens.
"""

import dataclasses
from collections.abc import Callable
from functools import partial

import torch
from torch.nn import functional as F

from .plate_run import PLATE, Picture, PlateRun
from .region import whole_tokens
from .report import Report
from .selection import select_rows
from .stages import at_full_noise, noise_share

SAME = 0.01  # of the largest number of a latent: what rounding in a VAE may change
REPORT = "coupled_report"  # a Report that hears of a run, among its transformer_options


@dataclasses.dataclass(frozen=True, eq=False)
class PlateSettings:
    """What the user gives. plate_1CHW: a latent as the plate; regions_nHW: where entities may
    stand, 1 or n masks of any size in 0 and 1.
    """

    plate_1CHW: torch.Tensor | None = None
    regions_nHW: torch.Tensor | None = None

    def select(self, rows: list[int]) -> "PlateSettings":
        """Those of some images."""
        return dataclasses.replace(self, regions_nHW=select_rows(self.regions_nHW, rows))


def sample_with_plate(
    executor,
    settings: PlateSettings,
    patch: int,
    noise,
    latent_image,
    sampler,
    sigmas,
    denoise_mask,
    callback,
    *args,
    **kwargs,
):
    """Runs the sampling (the executor of an OUTER_SAMPLE wrapper) with the plate as its last row,
    and gives the images back without it.
    """
    from comfy.patcher_extension import WrappersMP, add_wrapper_with_key

    guider = executor.class_obj
    n = noise.shape[0]
    if settings.plate_1CHW is None:
        check_start(guider.model_patcher, noise, latent_image, sigmas, denoise_mask)
    guider.conds = {
        kind: [select_rows(cond, [*range(n), 0]) for cond in conds]
        for kind, conds in guider.conds.items()
    }
    noise, latent_image = map(repeat_first, (noise, latent_image))
    denoise_mask = None if denoise_mask is None else repeat_first(denoise_mask)
    run = start_run(guider.model_patcher, settings, patch, noise, sigmas, denoise_mask)
    kind, options = WrappersMP.PREDICT_NOISE, guider.model_options  # of this run alone
    add_wrapper_with_key(kind, PLATE, run, options, is_model_options=True)
    options["transformer_options"][PLATE] = run
    callback = callback and hide_plate(callback, n)
    ends = float(sigmas[-1]) == 0  # uni_pc writes into them
    samples = executor(
        noise, latent_image, sampler, sigmas, denoise_mask, callback, *args, **kwargs
    )
    if ends and settings.plate_1CHW is not None and denoise_mask is None:  # itself, unrounded
        samples = torch.cat((samples[:-1], settings.plate_1CHW.to(samples)))
    samples = run.finish(samples)
    report = options["transformer_options"].get(REPORT)
    if report is None:  # a node of the host's: nobody else tells the user
        Report([run.report(samples)]).log()
    else:
        report.passes.append(run.report(samples))
    return samples[:n]


def start_run(
    model,
    settings: PlateSettings,
    patch: int,
    noise_NCHW: torch.Tensor,
    sigmas: torch.Tensor,
    mask: torch.Tensor | None,
) -> PlateRun:
    """What a run remembers, at its beginning."""
    n = noise_NCHW.shape[0] - 1
    device = model.load_device
    sampling = model.get_model_object("model_sampling")
    allowed_nHW = always_nHW = picture = None
    if settings.regions_nHW is not None:
        check_regions(settings.regions_nHW, n)
        allowed_nHW = fit_mask(settings.regions_nHW, n, noise_NCHW.shape, patch).to(device)
    if mask is not None and not start_alike(mask):
        keeps_more_nHW = (mask[:-1] < mask[-1:]).flatten(1, -3).any(1)
        always_nHW = whole_tokens(keeps_more_nHW, patch).to(device)
    if settings.plate_1CHW is not None:
        check_plate(settings.plate_1CHW, noise_NCHW, sigmas)
        x0_1CHW = model.model.process_latent_in(settings.plate_1CHW.float())
        picture = Picture(x0_1CHW, noise_NCHW[-1:], sampling)
    ends = len(sigmas) > 1 and float(sigmas[-1]) == 0
    last_sigma = float(sigmas[-2]) if ends else -1.0
    share = partial(noise_share, sampling)
    return PlateRun(n + 1, patch, last_sigma, allowed_nHW, always_nHW, picture, share)


def check_regions(regions_nHW: torch.Tensor, n: int) -> None:
    """ValueError unless there is one mask, or one for each image."""
    if regions_nHW.shape[0] not in (1, n):
        raise ValueError(
            "Connect one mask, which serves all, or one for each image: regions of Coupled"
            f" Attention is a batch of {regions_nHW.shape[0]}, but the set is one of {n}."
        )


def check_plate(plate_1CHW: torch.Tensor, noise_NCHW: torch.Tensor, sigmas: torch.Tensor) -> None:
    """ValueError unless the user's plate is one latent of the images' size, and the run adds the
    noise that the plate gets too.
    """
    if not noise_NCHW.any() and float(sigmas[0]) > 0:
        raise ValueError(
            "A run that goes on from leftover noise does not know which noise it is, so plate of"
            " Coupled Attention cannot get the same: sample all steps at once, or disconnect plate."
        )
    wanted, found = list(noise_NCHW.shape[1:]), list(plate_1CHW.shape[1:])
    if plate_1CHW.shape[0] != 1 or wanted != found:
        raise ValueError(
            f"plate of Coupled Attention is a latent of {list(plate_1CHW.shape)}, and the images"
            f" are {[1, *wanted]} (batch, channels, height, width). Encode one picture of the same"
            " size as the images, with the VAE that fits the model."
        )


def fit_mask(masks_nHW: torch.Tensor, n: int, shape: torch.Size, patch: int) -> torch.Tensor:
    """1 or n masks of any size as the latent pixels of n images, [n, H, W], bool: those of a token
    are in if any of them is.
    """
    pixels = F.interpolate(masks_nHW[:, None].float(), shape[-2:], mode="area")[:, 0] > 0
    return whole_tokens(pixels, patch).expand(n, -1, -1)


def check_start(
    model,
    noise_NCHW: torch.Tensor,
    latent_NCHW: torch.Tensor,
    sigmas: torch.Tensor,
    mask: torch.Tensor | None,
) -> None:
    """ValueError if a plate would begin with what only image 1 shows, such as its entity."""
    if not latent_counts(model, noise_NCHW, sigmas, mask) or start_alike(latent_NCHW):
        return
    raise ValueError(
        "Mode local cannot go on from images that differ already: set mode of Coupled Attention to"
        " exact, or sample all steps in one Coupled Sampler, or start every image from the same"
        " latent. (Outside its entity each image becomes the picture of the background text alone."
        " That picture would begin with the latent of image 1, whose subject would then show in the"
        " others.)"
    )


def latent_counts(
    model, noise: torch.Tensor, sigmas: torch.Tensor, mask: torch.Tensor | None
) -> bool:
    """Whether a run shows anything of the latent that it starts from."""
    if len(sigmas) == 0:
        return False
    sampling = model.get_model_object("model_sampling")
    pure_noise = at_full_noise(sampling, float(sigmas[0])) and bool(noise.any())
    return not pure_noise or (mask is not None and bool((mask < 1).any()))


def start_alike(latent_NCHW: torch.Tensor) -> bool:
    """Whether all images start from the same latent."""
    difference = (latent_NCHW - latent_NCHW[:1]).abs().max()
    return bool(difference <= SAME * latent_NCHW.abs().max())


def repeat_first(t_NCHW: torch.Tensor) -> torch.Tensor:
    return torch.cat((t_NCHW, t_NCHW[:1]))


def hide_plate(callback: Callable, n: int) -> Callable:
    """The host's callback of each step, for the images alone."""
    return lambda step, x0, x, total: callback(step, x0[:n], x[:n], total)
