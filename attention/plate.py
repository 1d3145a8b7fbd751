"""The plate: the picture of the background text alone, toward which each image is pulled outside
its entity (mode `local`).

It is sampled with a set, from the set's noise, as one more row of the batch that is cut off when
the run ends. Nothing is kept between model calls, and any sampler serves. Until theta rises the
plate is the picture of every image; from then on it is what each image would be without its entity.

Legend: n images, the plate as row n, N = n + 1; C channels, H × W latent pixels, S image tokens.
Under CFG the host may put K such sets into one call, of B = K·N rows.
"""

from collections.abc import Callable

import torch

from .conditioning import PLATE_ROWS, is_coupled_cond, select_rows
from .contrast import PROBE, ContrastProbe
from .gate import find_region
from .stages import at_full_noise

SAME = 0.01  # of the largest number of a latent: what rounding in a VAE may change


def sample_with_plate(
    executor, noise, latent_image, sampler, sigmas, denoise_mask, callback, *args, **kwargs
):
    """Runs the sampling (the executor of an OUTER_SAMPLE wrapper) with the plate as its last row,
    and gives the images back without it.
    """
    guider = executor.class_obj
    n = noise.shape[0]
    check_start(guider.model_patcher, noise, latent_image, sigmas, denoise_mask)
    guider.conds = {
        kind: [append_plate_cond(cond, n) for cond in conds] for kind, conds in guider.conds.items()
    }
    noise, latent_image, denoise_mask = map(repeat_first, (noise, latent_image, denoise_mask))
    callback = callback and hide_plate(callback, n)
    samples = executor(
        noise, latent_image, sampler, sigmas, denoise_mask, callback, *args, **kwargs
    )
    return samples[:n]


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


def append_plate_cond(cond: dict, n: int) -> dict:
    """A prepared condition with the first row once more: the plate, which sees only the background
    text of a coupled one.
    """
    from comfy.conds import CONDConstant

    cond = select_rows(cond, [*range(n), 0])
    if is_coupled_cond(cond):
        cond["model_conds"][PLATE_ROWS] = CONDConstant(n + 1)
    return cond


def repeat_first(t_NCHW: torch.Tensor | None) -> torch.Tensor | None:
    return None if t_NCHW is None else torch.cat((t_NCHW, t_NCHW[:1]))


def hide_plate(callback: Callable, n: int) -> Callable:
    """The host's callback of each step, for the images alone."""
    return lambda step, x0, x, total: callback(step, x0[:n], x[:n], total)


def call_with_plate(
    executor, patch: int, x, t, c_concat, c_crossattn, control, transformer_options, **kwargs
) -> torch.Tensor:
    """Runs a model call (the executor of an APPLY_MODEL wrapper); outside its entity, the clean
    picture x0 that the call leads to is the plate's.
    """
    probe = ContrastProbe()
    options = {**transformer_options, PROBE: probe}
    x0_BCHW = executor(x, t, c_concat, c_crossattn, control, options, **kwargs)
    contrast_BS = probe.contrast_BS()
    if contrast_BS is None:  # theta is 0: all rows are the plate
        return x0_BCHW
    rows = kwargs[PLATE_ROWS]
    sets = zip(x0_BCHW.split(rows), contrast_BS.split(rows), strict=True)
    return torch.cat(
        [blend(x0, find_region(contrast, one_frame(x0), patch)) for x0, contrast in sets]
    )


def one_frame(x0: torch.Tensor) -> torch.Tensor:
    """A picture [N, C, H, W] of the latent [N, C, 1, H, W] that some families have."""
    return x0.flatten(1, -3)


def blend(x0: torch.Tensor, region_N1HW: torch.Tensor) -> torch.Tensor:
    """region·x0 + (1-region)·x0_plate; x0 [N, C, H, W] or [N, C, 1, H, W]."""
    region = region_N1HW.unsqueeze(2) if x0.ndim == 5 else region_N1HW
    return torch.lerp(x0[-1:], x0, region)
