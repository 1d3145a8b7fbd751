"""Couples a model: a clone of its ModelPatcher whose blocks attend to a background and an entity
text.
"""

import dataclasses
from contextlib import nullcontext
from functools import partial

import torch

from ..schedules import ThetaSchedule
from .conditioning import BACKGROUND_TOKENS, ENTITY_POOLED, KEYWORDS, ROWS
from .coupling import Streams
from .families import Family, family_of
from .focus import FOCUS, led_to_plate, with_plate
from .override import KEY, CoupledAttention, check_joint_calls
from .progress import checked, even, step_position, theta_at
from .stages import PROGRESS, run_progress

PATCH = "coupled"  # our key among the model's wrappers
PROBES = 101
MODES = ("local", "exact", "paper")
VANISHING = {
    "local": (0,),
    "exact": (0, 1),
    "paper": (),
}  # where one text gets no attention in any row


def couple(model, theta: ThetaSchedule, mode: str = "local"):
    """A clone of `model` (a ModelPatcher) that makes coupled sets; `model` stays as it is.

    A coupled conditioning is attended to with the weights of `theta`; an ordinary one runs as on
    the stock model. mode: "exact", weights that vanish at theta = 0 and 1; "local", the same, and
    beside its entity each image is led to what the background text alone gives; "paper", Eq. 5 to
    the letter. ValueError when the model cannot be coupled, or theta is not in [0, 1] everywhere.
    """
    from comfy.patcher_extension import WrappersMP

    if mode not in MODES:
        raise ValueError(
            f"Unknown mode {mode!r} of Coupled Attention: choose one of {', '.join(MODES)}."
        )
    for i in range(PROBES):
        checked(theta.at(i / (PROBES - 1)), f"at {i / (PROBES - 1):.0%} of the sampling")
    family = family_of(model.get_model_object("diffusion_model"))
    model = model.clone()
    wrappers = {
        WrappersMP.OUTER_SAMPLE: partial(run_set, mode),
        WrappersMP.APPLY_MODEL: call_model,
        WrappersMP.DIFFUSION_MODEL: Coupling(family, theta, mode),
    }
    for kind, wrapper in wrappers.items():
        model.remove_wrappers_with_key(kind, PATCH)  # coupled twice: the last one counts
        model.add_wrapper_with_key(kind, PATCH, wrapper)
    return model


def is_coupled(model) -> bool:
    """Whether a ModelPatcher was made by `couple`."""
    return coupling_of(model) is not None


def has_plate(model) -> bool:
    """Whether sets of a ModelPatcher have a background plate beside them; a stock one has none."""
    coupling = coupling_of(model)
    return coupling is not None and coupling.mode == "local"


def coupling_of(model) -> "Coupling | None":
    from comfy.patcher_extension import WrappersMP

    return next(iter(model.get_wrappers(WrappersMP.DIFFUSION_MODEL, PATCH)), None)


def run_set(mode: str, executor, noise, latent_image, sampler, sigmas, *args, **kwargs):
    """OUTER_SAMPLE wrapper of a run.

    ValueError when the latent has another number of images than the set.
    """
    conds = [cond for conds in executor.class_obj.conds.values() for cond in conds]
    coupled = [cond for cond in conds if BACKGROUND_TOKENS in cond["model_conds"]]
    for cond in coupled:
        check_batch(cond["cross_attn"].shape[0], noise.shape[0])
    if not coupled:
        return executor(noise, latent_image, sampler, sigmas, *args, **kwargs)
    guider = executor.class_obj
    options = guider.model_options.setdefault("transformer_options", {})  # of this run alone
    sampling = guider.model_patcher.get_model_object("model_sampling")
    options[PROGRESS] = run_progress(sampling, sampler, sigmas.tolist())
    run = partial(with_plate, executor) if mode == "local" else executor
    return run(noise, latent_image, sampler, sigmas, *args, **kwargs)


def check_batch(n: int, batch: int) -> None:
    """ValueError unless the set has as many images as the latent: the host would silently repeat or
    drop texts.
    """
    if n != batch:
        raise ValueError(
            f"The coupled conditioning is a set of {n} images, but the latent is a batch of"
            f" {batch}. Set the latent's batch_size to {n}, or use Coupled Sampler, which makes the"
            " batch itself."
        )


def call_model(executor, *args, **kwargs):
    """APPLY_MODEL wrapper of each model call."""
    with compilation(executor, coupled=BACKGROUND_TOKENS in kwargs):
        return led_to_plate(executor, *args, **kwargs)


def compilation(executor, coupled: bool):
    """A context without torch.compile for a coupled call whose compiled code could be the wrong
    one.

    The host's Torch Compile node tells torch not to compare transformer_options, where the wrapper
    and the attention of the call stand: code compiled for the stock model, another mode or other
    texts would be taken for this call's. (theta is a tensor, which compiled code reads in each
    call.) The node says so in `options`, which torch empties, so any `options` count. To compile
    such a call apart, with all of torch's comparisons, would not be safe either: torch keeps the
    compiled code of a function for all who compile it with the same backend.
    """
    patcher = executor.class_obj.current_patcher
    compiled = patcher.model_options.get("torch_compile_kwargs") if patcher else None
    unsafe = coupled and compiled and compiled.get("options") is not None
    return torch.compiler.set_stance("force_eager") if unsafe else nullcontext()


@dataclasses.dataclass(frozen=True, eq=False)
class Coupling:
    """DIFFUSION_MODEL wrapper: an ordinary conditioning runs untouched, a coupled one with both of
    its texts.

    It is no partial: torch.compile looks into those, and would compile the model anew for another
    kind of schedule.
    """

    family: Family
    schedule: ThetaSchedule
    mode: str

    def __call__(self, executor, *args, **kwargs):
        if BACKGROUND_TOKENS not in kwargs:
            return executor(*args, **kwargs)
        return run_coupled(self.family, self.schedule, self.mode, executor, list(args), kwargs)


@torch.compiler.disable(
    recursive=False
)  # theta is read here; what stands below, the model, is compiled as one graph
def run_coupled(
    family: Family, schedule: ThetaSchedule, mode: str, executor, args: list, kwargs: dict
) -> torch.Tensor:
    """One coupled model call. The lists and dicts of the host are read, not written."""
    n_bg, pooled, rows = kwargs[BACKGROUND_TOKENS], kwargs.get(ENTITY_POOLED), kwargs.get(ROWS)
    kwargs = {k: v for k, v in kwargs.items() if k not in KEYWORDS}
    options, context = args[family.options], args[family.context]
    theta = current_theta(schedule, options)
    weight = theta_of_rows(theta, args[family.x], rows)
    if family.pooled is not None and pooled is not None:
        args[family.pooled] = mixed(args[family.pooled], pooled, weight.reshape(-1, 1))
    if theta in VANISHING[mode] and kwargs.get("attention_mask") is None:
        # The text of weight 0 gets no attention anywhere: without it, this is the stock model on
        # the other text.
        args[family.context] = context[:, :n_bg] if theta == 0 else context[:, n_bg:]
        return run_alike(family, executor, args, kwargs)
    options = with_attention(options, Streams(n_bg, context.shape[1]), weight, mode)
    args[family.options] = options
    out = executor(*args, **kwargs)
    check_joint_calls(options[KEY], family, executor.class_obj)
    return out


@torch.compiler.disable
def with_attention(options: dict, streams: Streams, theta: torch.Tensor, mode: str) -> dict:
    """The transformer_options of one model call, with the attention over both texts."""
    previous, focus = options.get(KEY), options.get(FOCUS)
    return {
        **options,
        KEY: CoupledAttention(
            streams=streams, previous=previous, theta=theta, paper=mode == "paper", focus=focus
        ),
    }


@torch.compiler.disable
def current_theta(schedule: ThetaSchedule, options: dict) -> float:
    """theta of this model call; the sigmas are read from the device at once."""
    sigma, sigmas = options.get("sigmas"), options.get("sample_sigmas")
    if sigma is None or sigmas is None or len(sigmas) < 2:
        raise ValueError(
            "Coupled Attention cannot tell the sampling step: the model was called without `sigmas`"
            " and `sample_sigmas` in transformer_options. Use it with a sampler of the host."
        )
    sigma, *sigmas = torch.cat((sigma[:1].to(sigmas), sigmas)).tolist()
    steps = len(sigmas) - 1
    progress = options.get(PROGRESS) or ()
    if len(progress) != len(sigmas):  # a call beside the host's sampling: a run of its own
        progress = even(0, steps, steps)
    return theta_at(schedule, step_position(sigma, sigmas), progress)


@torch.compiler.disable  # it would be compiled for one theta
def theta_of_rows(theta: float, x: torch.Tensor, rows: int | None) -> torch.Tensor:
    """theta of no axes or, where of so many rows each the last is a plate, [B, 1, 1] with 0 for
    plates; float32.

    It is made on the device, because a copy would wait for it.
    """
    weight = torch.full(
        (x.shape[0], 1, 1) if rows else (), theta, dtype=torch.float32, device=x.device
    )
    if rows:
        weight[rows - 1 :: rows] = 0
    return weight


@torch.compiler.disable
def mixed(
    background_BP: torch.Tensor, entity_BP: torch.Tensor, theta_B1: torch.Tensor
) -> torch.Tensor:
    """The pooled vector (1-theta)·pooled_bg + theta·pooled_ent, [B, P]; at 0 and 1 exactly one of
    the two.
    """
    return torch.lerp(background_BP.float(), entity_BP.float(), theta_B1).to(background_BP.dtype)


def run_alike(family: Family, executor, args: list, kwargs: dict) -> torch.Tensor:
    """The model on one row when all rows are the same, its result handed to all; else on every
    row.
    """
    n = args[family.x].shape[0]
    per_image = [i for i in family.per_image if torch.is_tensor(args[i])]
    if n == 1 or not self_contained(family, executor, args, kwargs):
        return executor(*args, **kwargs)
    if not torch.stack([(args[i] == args[i][:1]).all() for i in per_image]).all():
        return executor(*args, **kwargs)
    for i in per_image:
        args[i] = args[i][:1]
    out = executor(*args, **kwargs)
    return out.expand(n, *out.shape[1:]).clone()


def self_contained(family: Family, executor, args: list, kwargs: dict) -> bool:
    """Whether nothing but the family's own arguments can make rows differ: no ControlNet, no other
    pack's patch.
    """
    options = args[family.options]
    images = [args[i] for i in (family.control, family.ref_latents) if i is not None]
    patched = any(options.get(k) for k in ("patches", "patches_replace", KEY))
    wrapped = executor.idx + 1 < len(executor.wrappers)
    return not (
        patched
        or wrapped
        or any(v is not None for v in images)
        or any(map(torch.is_tensor, kwargs.values()))
    )
