"""Couples a model: installs, on a clone of its ModelPatcher, all that makes coupled sets."""

import dataclasses
from collections.abc import Sequence
from functools import partial

import torch
from comfy.patcher_extension import WrappersMP

from ..attention.architectures import uncompiled
from ..attention.arrange import arrange_texts
from ..attention.call import WRAPPERS, CoupledCall
from ..attention.compiled import CoupledApply
from ..attention.conditioning import check_texts, is_coupled_cond, zero_pooled
from ..attention.families import architecture_of
from ..attention.modes import DEFAULT, Mode, get_mode
from ..attention.nag import couple_negatives, has_nag
from ..attention.plate import PlateSettings, sample_with_plate
from ..attention.progress import check_theta
from ..attention.stages import PROGRESS, run_progress
from ..schedules import ThetaSchedule
from .checks import check_fit
from .noise import in_lockstep, repeat_row

PROBES = 101  # points of a schedule that are looked at before a run


def couple(
    model,
    schedule: ThetaSchedule,
    mode: str = DEFAULT,
    plate: torch.Tensor | None = None,
    regions: torch.Tensor | None = None,
):
    """A clone of a model that makes coupled sets, whatever node samples them.

    Parameters:
        model: a ModelPatcher of the host; it stays as it is. LoRA, other patches, wrappers and
            attention overrides stay in force.
        schedule: theta over the progress of the sampling, in [0, 1] everywhere.
        mode: a name of `attention.modes.MODES`. "exact": weights of attention mass, so that a text
            of weight 0 counts nothing. "local": the same, and outside its entity each image is the
            plate, the picture of the background text alone. "paper": Eq. 5 to the letter.
        plate: mode local: a latent [1, C, H, W] that is the plate, such as a photo's.
        regions: mode local: masks [1 or n, H, W] of any size, in 0 and 1, outside of which an image
            is the plate, whatever its text asks for.

    Returns the clone. A coupled conditioning is attended to with the weights of the schedule; an
    ordinary one runs as on the stock model, bit for bit. All images of a set get one noise.

    ValueError if the model cannot be coupled, theta leaves [0, 1], there is no such mode, or it
    makes no plate and one or its regions are given.
    """
    chosen = get_mode(mode)
    settings = PlateSettings(plate, regions)
    check_settings_of_plate(settings, chosen)
    check_schedule(schedule)
    diffusion_model = uncompiled(model.get_model_object("diffusion_model"))
    architecture = architecture_of(diffusion_model)
    wrappers = {
        WrappersMP.OUTER_SAMPLE: CoupledRun(chosen, architecture.patch, settings),
        WrappersMP.APPLY_MODEL: CoupledApply(),
        WrappersMP.DIFFUSION_MODEL: CoupledCall(architecture, schedule, chosen),
    }
    model = with_wrappers(model, wrappers)
    for name, replacement in architecture.patches(diffusion_model).items():
        model.add_object_patch(f"diffusion_model.{name}", replacement)
    return model


def with_wrappers(model, wrappers: dict):
    """A clone with these wrappers of ours, in place of those it has."""
    model = model.clone()
    for kind, wrapper in wrappers.items():
        model.remove_wrappers_with_key(kind, WRAPPERS)  # coupled twice: the last one counts
        model.add_wrapper_with_key(kind, WRAPPERS, wrapper)
    return model


def plate_settings(model) -> PlateSettings:
    """What the user gave to a coupled model for its plate."""
    runs = model.get_wrappers(WrappersMP.OUTER_SAMPLE, WRAPPERS)
    return runs[0].settings if runs else PlateSettings()


def select_regions(model, images: Sequence[int]):
    """A coupled model for some images of its set: itself, or a clone with their masks."""
    kind = WrappersMP.OUTER_SAMPLE
    if plate_settings(model).regions_nHW is None:
        return model
    (run,) = model.get_wrappers(kind, WRAPPERS)
    return with_wrappers(model, {kind: run.select(list(images))})


def check_settings_of_plate(settings: PlateSettings, mode: Mode) -> None:
    """ValueError for a plate or regions in a mode without a plate, or of a wrong shape."""
    plate, regions = settings.plate_1CHW, settings.regions_nHW
    if not mode.has_plate and (plate is not None or regions is not None):
        raise ValueError(
            "Disconnect plate and regions of Coupled Attention, or set its mode to local: they"
            f" count in mode local only, and the mode is {mode.name}."
        )
    if regions is not None and (regions.ndim != 3 or not torch.isfinite(regions).all()):
        raise ValueError(
            "Give regions of Coupled Attention one MASK, or one for each image, [n, height, width]:"
            f" this is {list(regions.shape)}, or holds NaN or infinite numbers."
        )
    if plate is not None and not torch.isfinite(plate).all():
        raise ValueError(
            "Check the nodes that produced the plate of Coupled Attention: it holds NaN or infinite"
            " numbers."
        )


def check_schedule(schedule: ThetaSchedule) -> None:
    for i in range(PROBES):
        progress = i / (PROBES - 1)
        check_theta(schedule.at(progress), f"at {progress:.0%} of the sampling")


@dataclasses.dataclass(frozen=True, eq=False)
class CoupledRun:
    """OUTER_SAMPLE wrapper of a run: one noise for all images, theta where the noise is, and the
    plate. Runs without a coupled conditioning stay as they are.
    """

    mode: Mode
    patch: int
    settings: PlateSettings

    def select(self, images: list[int]) -> "CoupledRun":
        """For some images of the set."""
        return dataclasses.replace(self, settings=self.settings.select(images))

    def __call__(
        self,
        executor,
        noise: torch.Tensor,
        latent_image: torch.Tensor,
        sampler,
        sigmas: torch.Tensor,
        denoise_mask: torch.Tensor | None = None,
        callback=None,
        *args,
        **kwargs,
    ) -> torch.Tensor:
        guider = executor.class_obj
        conds = [cond for conds in guider.conds.values() for cond in conds]
        coupled = [cond for cond in conds if is_coupled_cond(cond)]
        if not coupled:
            arguments = (noise, latent_image, sampler, sigmas, denoise_mask, callback, *args)
            return executor(*arguments, **kwargs)
        for cond in coupled:
            check_batch(cond["cross_attn"].shape[0], noise.shape[0])
            check_texts(cond)
        check_fit(guider.model_patcher, latent_image)
        sampling = guider.model_patcher.get_model_object("model_sampling")
        options = guider.model_options.setdefault("transformer_options", {})  # of this run alone
        guider.conds = arrange_all(guider, prepare_conds(guider, has_nag(options)))
        options[PROGRESS] = run_progress(sampling, sampler, sigmas.tolist())
        noise = repeat_row(noise, noise.shape[0])
        start = [tensor for tensor in (latent_image, denoise_mask) if tensor is not None]
        sampler = in_lockstep(guider, sampler, sigmas, start)
        arguments = (noise, latent_image, sampler, sigmas, denoise_mask, callback, *args)
        if self.mode.has_plate:
            return sample_with_plate(executor, self.settings, self.patch, *arguments, **kwargs)
        return executor(*arguments, **kwargs)


def prepare_conds(guider, nag: bool) -> dict[str, list[dict]]:
    """The conditions of the run, made to fit the set where nodes did not know it."""
    conds = {kind: [zero_pooled(cond) for cond in conds] for kind, conds in guider.conds.items()}
    return couple_negatives(conds, getattr(guider, "cfg", 1.0)) if nag else conds


def arrange_all(guider, conds: dict[str, list[dict]]) -> dict[str, list[dict]]:
    """The conditions with their texts as the model's family takes them."""
    model = uncompiled(guider.model_patcher.get_model_object("diffusion_model"))
    arrange = partial(arrange_texts, architecture_of(model), model)
    return {kind: [arrange(cond) for cond in conds] for kind, conds in conds.items()}


def check_batch(n: int, batch: int) -> None:
    """ValueError unless set and latent are of one size: the host would repeat or drop texts."""
    if n != batch:
        raise ValueError(
            f"Set the latent's batch_size to {n}, or use Coupled Sampler, which makes the batch"
            f" itself: the coupled conditioning is a set of {n}"
            f" image{'' if n == 1 else 's'}, but the latent is a batch of"
            f" {batch}."
        )
