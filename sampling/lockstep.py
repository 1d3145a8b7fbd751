"""Samples a coupled set, in one pass or several.

However the set is separated into passes, the images are the same.
"""

from ..attention.report import Report
from .checks import (
    check_fit_of_set,
    check_names,
    check_negative,
    check_negative_size,
    check_result,
    check_settings,
)
from .passes import Callback, sample_in_passes
from .run import plan_run, to_latent


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
