"""Couples a model: installs, on a clone of its ModelPatcher, all that makes coupled sets."""

import dataclasses

import torch
from comfy.patcher_extension import WrappersMP

from ..attention.architectures import architecture_of
from ..attention.call import WRAPPERS, CoupledApply, CoupledCall
from ..attention.conditioning import check_texts, is_coupled_cond, zero_pooled
from ..attention.modes import DEFAULT, Mode, get_mode
from ..attention.nag import couple_negatives, has_nag
from ..attention.plate import sample_with_plate
from ..attention.progress import check_theta
from ..attention.stages import PROGRESS, run_progress
from ..schedules import ThetaSchedule
from .checks import check_fit
from .noise import in_lockstep, repeat_row

PROBES = 101  # points of a schedule that are looked at before a run


def couple(model, schedule: ThetaSchedule, mode: str = DEFAULT):
    """A clone of a model that makes coupled sets, whatever node samples them.

    Parameters:
        model: a ModelPatcher of the host; it stays as it is. LoRA, other patches, wrappers and
            attention overrides stay in force.
        schedule: theta over the progress of the sampling, in [0, 1] everywhere.
        mode: a name of `attention.modes.MODES`. "exact": weights of attention mass, so that a text
            of weight 0 counts nothing. "local": the same, and outside its entity each image is
            pulled toward the plate, the picture of the background text alone. "paper": Eq. 5 to the
            letter.

    Returns the clone. A coupled conditioning is attended to with the weights of the schedule; an
    ordinary one runs as on the stock model, bit for bit. All images of a set get one noise.

    ValueError if the model cannot be coupled, theta leaves [0, 1], or there is no such mode.
    """
    chosen = get_mode(mode)
    check_schedule(schedule)
    architecture = architecture_of(model.get_model_object("diffusion_model"))
    wrappers = {
        WrappersMP.OUTER_SAMPLE: CoupledRun(chosen),
        WrappersMP.APPLY_MODEL: CoupledApply(architecture),
        WrappersMP.DIFFUSION_MODEL: CoupledCall(architecture, schedule, chosen),
    }
    model = model.clone()
    for kind, wrapper in wrappers.items():
        model.remove_wrappers_with_key(kind, WRAPPERS)  # coupled twice: the last one counts
        model.add_wrapper_with_key(kind, WRAPPERS, wrapper)
    return model


def check_schedule(schedule: ThetaSchedule) -> None:
    for i in range(PROBES):
        progress = i / (PROBES - 1)
        check_theta(schedule.at(progress), f"at {progress:.0%} of the sampling")


@dataclasses.dataclass(frozen=True)
class CoupledRun:
    """OUTER_SAMPLE wrapper of a run: one noise for all images, theta where the noise is, and the
    plate. Runs without a coupled conditioning stay as they are.
    """

    mode: Mode

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
        guider.conds = prepare_conds(guider, has_nag(options))
        options[PROGRESS] = run_progress(sampling, sampler, sigmas.tolist())
        noise = repeat_row(noise, noise.shape[0])
        start = [tensor for tensor in (latent_image, denoise_mask) if tensor is not None]
        sampler = in_lockstep(guider, sampler, sigmas, start)
        arguments = (noise, latent_image, sampler, sigmas, denoise_mask, callback, *args)
        if self.mode.has_plate:
            return sample_with_plate(executor, *arguments, **kwargs)
        return executor(*arguments, **kwargs)


def prepare_conds(guider, nag: bool) -> dict[str, list[dict]]:
    """The conditions of the run, made to fit the set where nodes did not know it."""
    conds = {kind: [zero_pooled(cond) for cond in conds] for kind, conds in guider.conds.items()}
    return couple_negatives(conds, getattr(guider, "cfg", 1.0)) if nag else conds


def check_batch(n: int, batch: int) -> None:
    """ValueError unless set and latent are of one size: the host would repeat or drop texts."""
    if n != batch:
        raise ValueError(
            f"Set the latent's batch_size to {n}, or use Coupled Sampler, which makes the batch"
            f" itself: the coupled conditioning is a set of {n}"
            f" image{'' if n == 1 else 's'}, but the latent is a batch of"
            f" {batch}."
        )
