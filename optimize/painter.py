"""Makes the images of training sets under many theta-schedules, and never computes the same latent
twice.

Two schedules whose theta agree up to step t lead to the same latent there, bit for bit, as Euler's
method knows nothing but the latent and the noise level. So a run starts at the first step where its
theta is new.
"""

import dataclasses
import functools
from collections.abc import Callable, Sequence

import torch

from ..attention import coupled_mode, encode_set
from ..prompts.split import SplitPrompts
from ..sampling import couple
from ..sampling.checks import (
    check_guidance,
    check_names,
    check_negative,
    check_plain,
    check_result,
    check_settings,
    check_text_encoder,
)
from ..sampling.decode import decode_run
from ..sampling.passes import attempt, first_size, halve
from ..sampling.run import Run, plan_run
from ..schedules import ThetaSchedule
from .fingerprint import fingerprint
from .prefixes import Prefixes, Start
from .resume import ignore, resume

SHARING = ("euler",)  # samplers without memory between steps and without noise of their own
ENTITY = "entity"
FULL_PROMPT = "full prompt"

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
        """ValueError if something is no setting."""
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


class Painter:
    """The images of training sets, all alike but for theta.

    `latent`: one row, used for every image.
    """

    def __init__(
        self,
        model,
        clip,
        vae,
        sets: Sequence[SplitPrompts],
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
                "Set the latent's batch_size to 1: it is a batch of"
                f" {latent['samples'].shape[0]}, and each image of each set begins with it."
            )
        self.model = model
        self.clip = clip
        self.vae = vae
        self.sets = list(sets)
        self.seeds = list(seeds)
        self.latent = latent
        self.settings = settings
        self.calls = Calls()
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
        painter.texts = self.texts
        painter.calls = self.calls
        return painter

    def paint(
        self, instance: Instance, theta: ThetaSchedule, callback: Callable | None = None
    ) -> torch.Tensor:
        """Images [n, H, W, 3] in [0, 1], at 8 bits, as they would be saved."""
        run, samples = self.sample_run(instance, theta, callback)
        images_NHWC, *_ = decode_run({"samples": samples}, self.vae, run.report)
        return (images_NHWC.clamp(0, 1) * 255).round() / 255

    def sample(
        self, instance: Instance, theta: ThetaSchedule, callback: Callable | None = None
    ) -> torch.Tensor:
        """The latents [n, C, H, W] that Coupled Sampler would give. callback(step, x0, x, steps)
        after each step.
        """
        return self.sample_run(instance, theta, callback)[1]

    def sample_run(
        self, instance: Instance, theta: ThetaSchedule, callback: Callable | None = None
    ) -> tuple[Run, torch.Tensor]:
        """The run, with its report, and the latents."""
        run = self.run(instance, theta)
        samples = SharingRun(self, run, instance, theta).sample_all(callback or ignore)
        check_result(samples)
        return run, samples

    def sample_pass(
        self,
        run: Run,
        instance: Instance,
        images: range,
        theta: ThetaSchedule,
        callback: Callable,
    ) -> torch.Tensor:
        """Some images of a set, from the first step whose latent is not known."""
        steps = len(run.sigmas) - 1
        thetas = theta.values(steps)
        owner = (steps, instance, images, run.latent_NCHW.shape)
        start = Start()
        keep = ignore
        if self.shares:
            start = self.prefixes.longest(owner, thetas)
            keep = functools.partial(self.prefixes.keep_step, owner, thetas)
        samples = resume(run, images, start, keep, callback)
        self.calls.made += steps - start.step
        self.calls.saved += start.step
        return samples

    def run(self, instance: Instance, theta: ThetaSchedule) -> Run:
        """All that the host's sampling needs, but for where it begins."""
        place = instance[0]
        seed = self.seeds[instance[1]]
        settings = self.settings
        n = len(self.sets[place].prompts)
        model = couple(self.model, theta, settings.mode)
        return plan_run(
            model,
            self.latent,
            n,
            seed=seed,
            steps=settings.steps,
            sampler_name=settings.sampler_name,
            scheduler=settings.scheduler,
            positive=self.conditioning(place),
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
    if coupled_mode(model) is not None:
        raise ValueError(
            "Connect the unpatched MODEL: this one is patched by Coupled Attention, but theta is"
            " yet to be learned."
        )
    check_text_encoder(clip)
    if vae is None:
        raise ValueError(
            "Load a VAE with its own loader: none is connected, for this checkpoint holds none."
        )


@dataclasses.dataclass
class SharingRun:
    """A run of one set whose passes take their beginnings from earlier candidates."""

    painter: Painter
    run: Run
    instance: Instance
    theta: ThetaSchedule

    def sample_all(self, callback: Callable) -> torch.Tensor:
        """All images, as many at once as fit; a pass that finds no memory is halved and tried
        again.
        """
        n = self.run.latent_NCHW.shape[0]
        size = first_size(self.run.model, self.run.latent_NCHW.shape)
        done: list[torch.Tensor] = []
        while len(done) < n:
            images = range(len(done), min(len(done) + size, n))
            samples = attempt(self, images, callback, may_halve=True)
            if samples is None:
                size = halve(len(images))
            else:
                done.extend(samples)
        return torch.stack(done)

    def sample(self, images: range, callback: Callable) -> torch.Tensor:
        return self.painter.sample_pass(self.run, self.instance, images, self.theta, callback)
