"""Makes the images of training sets under many theta-schedules, and never computes the same latent
twice.

Two schedules whose theta agree up to step t lead to the same latent there, bit for bit, as Euler's
method knows nothing but the latent and the noise level. So a run starts at the first step where its
theta is new.
"""

import dataclasses
import functools
import hashlib
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence

import comfy.samplers
import torch
from comfy.samplers import KSAMPLER

from ..attention import couple, encode_set, is_coupled
from ..sampling import share_noise
from ..sampling.checks import (
    check_guidance,
    check_names,
    check_negative,
    check_plain,
    check_result,
    check_settings,
)
from ..sampling.lockstep import Run, first_size, mask_rows, prepared
from ..sampling.noise import shared_noise
from ..schedules import ThetaSchedule
from .sets import PromptSet

SHARING = ("euler",)  # samplers without memory between steps and without noise of their own
MEMORY = 1 << 30  # bytes of latents that are kept
ENTITY, FULL_PROMPT = "entity", "full prompt"

Instance = tuple[int, int]  # a set and a seed, by their places


@dataclasses.dataclass(frozen=True)
class Settings:
    """How all sets are sampled."""

    steps: int = 50
    sampler_name: str = "euler"
    scheduler: str = "simple"
    guidance: float = 3.5
    mode: str = "local"
    entity_text: str = ENTITY

    def check(self) -> None:
        """ValueError when something is no setting."""
        check_settings(self.steps, denoise=1.0, images_per_pass=0, cfg=1.0)
        check_names(self.sampler_name, self.scheduler)
        check_negative(None, 1.0, self.sampler_name)
        check_guidance(self.guidance)
        if self.entity_text not in (ENTITY, FULL_PROMPT):
            raise ValueError(
                f"entity_text is {self.entity_text!r}; choose {ENTITY} or {FULL_PROMPT}."
            )


@dataclasses.dataclass
class Calls:
    """Model calls: steps of one set that were computed, and those that were taken from an earlier
    candidate.
    """

    made: int = 0
    saved: int = 0


class Prefixes:
    """Latents by what led to them, the oldest given up first when they need more than `memory`
    bytes.

    A key is (whose latent it is, theta of all steps before it). Where all of these are 0 it is kept
    for good: every candidate begins so.
    """

    def __init__(self, memory: int = MEMORY):
        self.memory, self.used = memory, 0
        self.latents: OrderedDict[tuple, torch.Tensor] = OrderedDict()

    def longest(self, owner: object, thetas: Sequence[float]) -> tuple[int, torch.Tensor | None]:
        """The last step whose latent is known, and the latent before that step; (0, None) when none
        is.
        """
        for step in range(len(thetas) - 1, 0, -1):
            key = (owner, tuple(thetas[:step]))
            if key in self.latents:
                self.latents.move_to_end(key)
                return step, self.latents[key]
        return 0, None

    def keep(self, owner: object, thetas: Sequence[float], latent: torch.Tensor) -> None:
        """Remembers the latent after the steps of `thetas`."""
        key = (owner, tuple(thetas))
        if not thetas or key in self.latents:
            return
        self.latents[key] = latent.detach().to("cpu", copy=True)
        self.used += latent.nbytes
        while self.used > self.memory and (oldest := self.oldest()) is not None:
            self.used -= self.latents.pop(oldest).nbytes

    def oldest(self) -> tuple | None:
        """The key that was used longest ago, of those that are not all zeros."""
        return next((key for key in self.latents if any(key[1])), None)


class Painter:
    """The images of training sets, all alike but for theta.

    `latent`: one row, used for every image.
    """

    def __init__(
        self,
        model,
        clip,
        vae,
        sets: Sequence[PromptSet],
        seeds: Sequence[int],
        latent: dict,
        settings: Settings,
        prefixes: Prefixes | None = None,
    ):
        check_models(model, clip, vae)
        settings.check()
        check_plain(latent["samples"])
        if not sets or not seeds:
            raise ValueError("There must be at least one prompt set and one seed.")
        if latent["samples"].shape[0] != 1:
            raise ValueError(
                f"The latent is a batch of {latent['samples'].shape[0]}; set its batch_size to 1:"
                " each image of each set begins with it."
            )
        self.model, self.clip, self.vae, self.sets, self.seeds = (
            model,
            clip,
            vae,
            list(sets),
            list(seeds),
        )
        self.latent, self.settings, self.calls = latent, settings, Calls()
        self.prefixes = prefixes or Prefixes()
        self.shares = settings.sampler_name in SHARING and not any(model.wrappers.values())
        self.texts: dict[int, list] = {}

    @property
    def instances(self) -> list[Instance]:
        """All pairs of a set and a seed; the sets change first."""
        return [(i, j) for j in range(len(self.seeds)) for i in range(len(self.sets))]

    def coarser(self, share: float) -> "Painter":
        """The same at a share of the steps, and of the latent's height and width (which stay
        even).
        """
        samples = self.latent["samples"]
        size = [max(2, 2 * round(share * length / 2)) for length in samples.shape[-2:]]
        latent = {**self.latent, "samples": torch.zeros(*samples.shape[:-2], *size)}
        settings = dataclasses.replace(
            self.settings, steps=max(4, round(share * self.settings.steps))
        )
        painter = Painter(
            self.model, self.clip, self.vae, self.sets, self.seeds, latent, settings, self.prefixes
        )
        painter.texts, painter.calls = self.texts, self.calls
        return painter

    def paint(
        self, instance: Instance, theta: ThetaSchedule, callback: Callable | None = None
    ) -> torch.Tensor:
        """Images [n, H, W, 3] in [0, 1], at 8 bits, as they would be saved."""
        images_NHWC = self.vae.decode(self.sample(instance, theta, callback))
        return (images_NHWC.clamp(0, 1) * 255).round() / 255

    def sample(
        self, instance: Instance, theta: ThetaSchedule, callback: Callable | None = None
    ) -> torch.Tensor:
        """The latents [n, C, H, W] that Coupled Sampler would give. callback(step, x0, x, steps)
        after each step.
        """
        run = self.run(instance, theta)
        parts = [self.sample_pass(run, instance, images, theta, callback) for images in passes(run)]
        samples = torch.cat(parts)
        check_result(samples)
        return samples

    def sample_pass(
        self, run: Run, instance: Instance, images: range, theta: ThetaSchedule, callback
    ) -> torch.Tensor:
        """Some images of a set, from the first step whose latent is not known."""
        steps = len(run.sigmas) - 1
        thetas, owner = theta.values(steps), (steps, instance, images, run.latent_NCHW.shape)
        start, latent = self.prefixes.longest(owner, thetas) if self.shares else (0, None)

        def keep(step: int, x: torch.Tensor) -> None:
            self.prefixes.keep(owner, thetas[:step], x)

        self.calls.made += steps - start
        self.calls.saved += start
        return resume(run, images, start, latent, keep if self.shares else ignore, callback)

    def run(self, instance: Instance, theta: ThetaSchedule) -> Run:
        """All that the host's sampling needs, but for where it begins."""
        place, seed = instance[0], self.seeds[instance[1]]
        n, settings = len(self.sets[place].prompts), self.settings
        model = share_noise(couple(self.model, theta, settings.mode))
        images = prepared(model, self.latent, n)
        sigmas = comfy.samplers.KSampler(
            model,
            settings.steps,
            model.load_device,
            settings.sampler_name,
            settings.scheduler,
            1.0,
            model.model_options,
        ).sigmas
        return Run(
            model,
            self.conditioning(place),
            None,
            1.0,
            settings.sampler_name,
            sigmas,
            seed,
            images,
            shared_noise({**self.latent, "samples": images}, seed, n),
            mask_rows(self.latent.get("noise_mask"), images),
        )

    def conditioning(self, place: int) -> list:
        """The texts of a set, encoded once."""
        if place not in self.texts:
            one = self.sets[place]
            entities = one.prompts if self.settings.entity_text == FULL_PROMPT else one.entities
            self.texts[place] = encode_set(
                self.clip, one.background, entities, self.settings.guidance
            )
        return self.texts[place]

    @functools.cached_property
    def identity(self) -> str:
        """Stands for all that changes the images: the same on every machine that makes the same
        ones.
        """
        parts = [self.settings, self.sets, self.seeds, list(self.latent["samples"].shape)]
        return " ".join(map(repr, [*parts, fingerprint(self.model)]))


def check_models(model, clip, vae) -> None:
    """ValueError unless there are a stock model, a text encoder and a VAE."""
    if is_coupled(model):
        raise ValueError(
            "The model is patched by Coupled Attention, but theta is yet to be learnt: connect the "
            "unpatched MODEL."
        )
    for what, found in (("text encoder", clip), ("VAE", vae)):
        if found is None:
            raise ValueError(
                f"No {what} is connected: this checkpoint holds none. Load one with its own loader."
            )


def passes(run: Run) -> Iterator[range]:
    """The images of a set, as many at once as fit by the host's estimate."""
    n = run.latent_NCHW.shape[0]
    size = first_size(run.model, run.latent_NCHW.shape)
    return (range(first, min(first + size, n)) for first in range(0, n, size))


def ignore(*_) -> None:
    """What is done where nothing is asked for."""


def resume(
    run: Run,
    images: range,
    start: int,
    latent: torch.Tensor | None,
    keep: Callable,
    callback: Callable | None,
) -> torch.Tensor:
    """A pass of a run from step `start`, whose latent it takes as it is; the whole pass when that
    is None.

    keep(step, latent) is called before each step with all rows of the batch, the plate's too in
    local mode. The host is given the sigmas of the whole run, so theta and all else that goes by
    progress stay as they were.
    """
    host = comfy.samplers.sampler_object(run.sampler_name)
    function = from_step(host.sampler_function, start, latent, keep)
    sampler = KSAMPLER(function, host.extra_options)
    sampler.stands_for = host  # a trial of this one would store its latents
    return run.sample(images, callback or ignore, sampler)


def from_step(
    function: Callable, start: int, latent: torch.Tensor | None, keep: Callable
) -> Callable:
    """A sampler function like `function` that begins at step `start` with `latent`, and draws no
    noise for it.
    """

    @functools.wraps(function)
    def run(model, noise, sigmas, extra_args=None, callback=None, disable=None, **options):
        def step_done(state: dict) -> None:
            keep(start + state["i"], state["x"])
            callback({**state, "i": start + state["i"]})

        return function(
            model,
            noise if latent is None else latent.to(noise),
            sigmas[start:],
            extra_args=extra_args,
            callback=step_done,
            disable=disable,
            **options,
        )

    return run


def fingerprint(model) -> str:
    """A few letters that change with a model's weights and LoRAs; a small part of the weights is
    looked at.
    """
    weights = model.model.diffusion_model.state_dict()
    names = sorted(weights)
    found = hashlib.sha256(repr([(name, tuple(weights[name].shape)) for name in names]).encode())
    for name in names[:: max(1, len(names) // 16)]:
        found.update(repr(weights[name].flatten()[:16].float().tolist()).encode())
    for name in sorted(map(str, model.patches)):
        found.update(
            f"{name} {[numbers(patch[:2]) for patch in model.patches.get(name, [])]}".encode()
        )
    return found.hexdigest()[:12]


def numbers(patch) -> object:
    """What tells a patch (a strength, tensors, or an adapter of the host that holds them) from
    others, for its repr.
    """
    if torch.is_tensor(patch):
        return patch.flatten()[:: max(1, patch.numel() // 16)].float().tolist()
    if isinstance(patch, tuple | list):
        return [numbers(part) for part in patch]
    if hasattr(patch, "weights"):
        return numbers(patch.weights)
    return patch if isinstance(patch, int | float | str) else None
