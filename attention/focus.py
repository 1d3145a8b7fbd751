"""Where in a picture its entity stands, and the background plate that the rest of it is led to: the
mode `local`.

The plate is the picture of the background text alone. It is sampled beside a set from the set's
noise, as one more row of the batch, cut off when the run ends: nothing is kept between model calls,
and any sampler serves. Until theta rises it is the picture of every image. From then on it is what
each image would be without its entity.

Legend: n images, the plate as row n, N = n + 1; C channels, H × W latent pixels, S image tokens of
2 × 2 latent pixels. Under CFG the host may put K such sets into one call, of B = K·N rows.
"""

from collections.abc import Callable

import torch
from torch.nn import functional as F

from .conditioning import BACKGROUND_TOKENS, ROWS, rows
from .stages import at_full_noise

FOCUS = "coupled_focus"  # the Focus of a model call, among its transformer_options

SAME = 0.01  # of the largest number of a latent: what rounding in a VAE may change

# Chosen on training sets of the mini world: docs/tried.md
SHARPNESS, THRESHOLD = 4.0, 1.5
# of the gate: what is nearer to 0 or 1 counts as that, so most of the background is the plate
# itself
ENDS = 0.05
FAINT = 1e-4  # mean squared difference of latents (deviation 1) that is surely none
MOST = 10.0  # of a contrast
# a picture's shorter side is smoothed over this share of it, and over 3 latent pixels at least
SPOTS = 24


def with_plate(
    executor,
    noise,
    latent_image,
    sampler,
    sigmas,
    denoise_mask=None,
    callback=None,
    *args,
    **kwargs,
):
    """OUTER_SAMPLE wrapper: the run gets the plate as its last row, and gives the images back
    without it.
    """
    guider, n = executor.class_obj, noise.shape[0]
    check_start(guider.model_patcher, noise, latent_image, sigmas, denoise_mask)
    guider.conds = {
        kind: [with_plate_row(cond, n) for cond in conds] for kind, conds in guider.conds.items()
    }
    noise, latent_image, denoise_mask = (
        with_first_again(t) for t in (noise, latent_image, denoise_mask)
    )
    callback = callback and without_plate(callback, n)
    return executor(noise, latent_image, sampler, sigmas, denoise_mask, callback, *args, **kwargs)[
        :n
    ]


def check_start(
    model,
    noise_NCHW: torch.Tensor,
    latent_NCHW: torch.Tensor,
    sigmas: torch.Tensor,
    mask: torch.Tensor | None,
) -> None:
    """ValueError where a plate would begin with what image 1 alone shows, such as its entity."""
    if not latent_counts(model, noise_NCHW, sigmas, mask) or alike(latent_NCHW):
        return
    raise ValueError(
        "Mode local cannot go on from images that differ already: set mode of Coupled Attention to"
        " exact, or sample all steps in one Coupled Sampler, or start every image from the same"
        " latent. (Beside its entity each image becomes the picture of the background text alone."
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


def alike(latent_NCHW: torch.Tensor) -> bool:
    """Whether all images start from the same latent."""
    difference = (latent_NCHW - latent_NCHW[:1]).abs().max()
    return bool(difference <= SAME * latent_NCHW.abs().max())


def with_plate_row(cond: dict, n: int) -> dict:
    """A prepared condition with one row more, the first one's again: of a coupled one the
    background is looked at.
    """
    from comfy.conds import CONDConstant

    cond = rows(cond, [*range(n), 0])
    if BACKGROUND_TOKENS in cond["model_conds"]:
        cond["model_conds"][ROWS] = CONDConstant(n + 1)
    return cond


def with_first_again(t_NCHW: torch.Tensor | None) -> torch.Tensor | None:
    return None if t_NCHW is None else torch.cat((t_NCHW, t_NCHW[:1]))


def without_plate(callback: Callable, n: int) -> Callable:
    """The host's callback of each step, for the images alone."""
    return lambda step, x0, x, total: callback(step, x0[:n], x[:n], total)


def led_to_plate(
    executor,
    x,
    t,
    c_concat=None,
    c_crossattn=None,
    control=None,
    transformer_options=None,
    **kwargs,
):
    """APPLY_MODEL wrapper: beside its entity, the clean picture x0 that a call leads to is the
    plate's.
    """
    if ROWS not in kwargs:
        return executor(x, t, c_concat, c_crossattn, control, transformer_options, **kwargs)
    focus = Focus()
    options = {**transformer_options, FOCUS: focus}
    x0_BCHW = executor(x, t, c_concat, c_crossattn, control, options, **kwargs)
    if not focus.contrasts:  # theta is 0: all rows are the plate
        return x0_BCHW
    sets = zip(x0_BCHW.split(kwargs[ROWS]), focus.contrast_BS().split(kwargs[ROWS]), strict=True)
    return torch.cat([led(x0_NCHW, gate(contrast_NS, x0_NCHW)) for x0_NCHW, contrast_NS in sets])


def led(x0_NCHW: torch.Tensor, gate_N1HW: torch.Tensor) -> torch.Tensor:
    """gate·x0 + (1-gate)·x0_plate."""
    return torch.lerp(x0_NCHW[-1:], x0_NCHW, gate_N1HW)


class Focus:
    """How much more each image token attends to the entity text than to the background text, in one
    model call.

    contrasts: of each double block, the mean over the heads of lse_ent - lse_bg, the log of the
    ratio of the two masses of attention; [B, S].
    """

    def __init__(self):
        self.contrasts: list[torch.Tensor] = []

    def look(self, lse_bg_BHS: torch.Tensor, lse_ent_BHS: torch.Tensor) -> None:
        """Takes down one block's contrast; a mask may hide a whole text."""
        self.contrasts.append((lse_ent_BHS - lse_bg_BHS).nan_to_num(0.0, MOST, -MOST).mean(1))

    def contrast_BS(self) -> torch.Tensor:
        return torch.stack(self.contrasts).mean(0)


def gate(contrast_NS: torch.Tensor, x0_NCHW: torch.Tensor) -> torch.Tensor:
    """1 on the entity, 0 beside it, 1 in the plate's row; [N, 1, H, W], float32.

    Two signs are added, each standardised over the picture: the contrast, and the log of the
    difference from the plate. The first alone is coarse, the second alone takes all drift for the
    entity. Each image is judged by itself and the plate, so any images per pass give the same.
    """
    signs = on_pixels(contrast_NS, *x0_NCHW.shape[-2:]), difference(x0_NCHW.float())
    score_N1HW = sum(map(standardised, signs))
    gate_N1HW = torch.sigmoid(SHARPNESS * (score_N1HW - THRESHOLD))
    gate_N1HW = ((gate_N1HW - ENDS) / (1 - 2 * ENDS)).clamp(0, 1)
    gate_N1HW[-1] = 1
    return gate_N1HW


def on_pixels(contrast_BS: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """A number for each image token, on the latent pixels [B, 1, H, W].

    Reference images' tokens come after.
    """
    h, w = (height + 1) // 2, (width + 1) // 2
    tokens_B1hw = contrast_BS[:, : h * w].reshape(-1, 1, h, w)
    return F.interpolate(tokens_B1hw, scale_factor=2.0, mode="bilinear")[..., :height, :width]


def difference(x0_NCHW: torch.Tensor) -> torch.Tensor:
    """log of the squared difference from the plate, mean over the channels and a spot around; [N,
    1, H, W].
    """
    squares_N1HW = (x0_NCHW - x0_NCHW[-1:]).square().mean(1, keepdim=True)
    spot = max(3, min(squares_N1HW.shape[-2:]) // SPOTS | 1)
    return torch.log(
        FAINT + F.avg_pool2d(squares_N1HW, spot, 1, spot // 2, count_include_pad=False)
    )


def standardised(t_N1HW: torch.Tensor) -> torch.Tensor:
    """Of mean 0 and deviation 1 over each picture."""
    spread, mean = torch.std_mean(t_N1HW, (2, 3), keepdim=True)
    return (t_N1HW - mean) / spread.clamp(min=1e-6)
