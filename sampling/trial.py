"""Whether a sampler treats the images of a set alike: a dry run without the model before the run,
and a watch over the run itself.

A sampler is judged by what it does, so one that draws noise in a helper, from a generator of its
own, or behind a partial or a class is found like any other.
"""

import inspect
import logging
from typing import Any

import comfy.samplers
import torch
from comfy.patcher_extension import WrappersMP, add_wrapper_with_key

KEY = "coupled_watch"
ROUNDING = 1e-5  # of the largest number; noise of their own sets rows much further apart
SEED, STEPS = 0, 8


class StandIn(comfy.samplers.CFGGuider):
    """A guider for dry runs: it stands for another, and takes a sine instead of calling the model.

    A sine is rough enough that steps of other lengths lead elsewhere.
    """

    def __init__(self, guider: comfy.samplers.CFGGuider):
        super().__init__(guider.model_patcher)
        self.inner_model = guider.model_patcher.model
        self.conds, self.cfg = guider.conds, guider.cfg
        self.model_options = {}  # other packs' hooks would count the calls

    def __call__(self, x, timestep, model_options=None, seed=None):
        x0 = (4 * x).sin()
        # The host's function calls the sampler's own hooks: those of CFG++ wait for them.
        return comfy.samplers.cfg_function(
            self.inner_model, x0, x0 / 2, 1.0, x, timestep, model_options or {}
        )


def try_sampler(
    guider: comfy.samplers.CFGGuider, sampler: comfy.samplers.Sampler, sigmas: torch.Tensor, C: int
) -> Exception | None:
    """Runs a sampler without the model on two equal rows and one that is another; the error that
    ended the trial, if one did.

    ValueError if the equal rows come out different, or a row comes out different without the
    others. C: the latent's channels.
    """
    generator = torch.Generator().manual_seed(SEED)
    row, other = torch.randn(2, 1, C, 4, 4, generator=generator)
    try:
        # A faint row: it makes no error, so a sampler that chooses its steps by all rows takes
        # longer ones.
        together = dry_run(guider, sampler, sigmas, torch.cat((row, row, 1e-3 * other)))
        alone = dry_run(guider, sampler, sigmas, row)
    except Exception as error:  # it may need what only a real run has
        logging.info("Coupled: the sampler %s cannot be tried: %s", name_of(sampler), error)
        return error
    if not near(together[1:2], together[:1]):
        refuse_noise(sampler)
    if not near(alone, together[:1]):
        raise ValueError(
            "Choose another sampler, such as euler or dpmpp_2m: with"
            f" {name_of(sampler)} an image changes when others are made with it, for example"
            " because steps are chosen by all images of a batch together."
        )
    return None


def dry_run(guider, sampler, sigmas: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
    """A sampler's run on some noise without the model, over a few of the sigmas; random generators
    stay as they are.
    """
    last = len(sigmas) - 1
    sigmas = sigmas.cpu()[torch.linspace(0, last, min(STEPS, last) + 1).round().long()]
    options = {"transformer_options": {"sample_sigmas": sigmas}}
    device = guider.model_patcher.load_device
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices, device_type="cuda"):
        torch.manual_seed(SEED)
        samples = sampler.sample(
            StandIn(guider),
            sigmas.clone(),  # uni_pc writes into them
            {"model_options": options, "seed": SEED},
            None,
            noise.clone(),
            torch.zeros_like(noise),
            None,
            True,
        )
    if not samples.isfinite().all():
        raise ValueError("it gave NaN or infinite numbers")
    return samples


class Watch:
    """PREDICT_NOISE wrapper of one run: rows must stay alike while the model treats them alike.

    alike: whether all rows start from the same. untried: why the trial came to no end, if it did
    not; then a run that cannot be watched from one call to the next is refused.
    """

    def __init__(self, sampler: comfy.samplers.Sampler, alike: bool, untried: Exception | None):
        self.sampler, self.alike, self.untried = sampler, alike, untried
        self.calls = 0

    def __call__(self, executor, x, *args, **kwargs):
        if self.alike:
            self.look(x)
        x0 = executor(x, *args, **kwargs)
        self.alike = self.alike and bool((x0 == x0[:1]).all())
        if not self.alike and self.untried and self.calls < 2:
            self.refuse_untried()
        return x0

    def look(self, x: torch.Tensor) -> None:
        self.calls += 1
        self.alike = near(x, x[:1])
        # What a first call gets may come from elsewhere: a step that was reached before, say.
        if not self.alike and self.calls > 1:
            refuse_noise(self.sampler)

    def refuse_untried(self) -> None:
        raise ValueError(
            f"Choose another sampler, such as euler or dpmpp_2m: Coupled cannot tell whether"
            f" {name_of(self.sampler)} gives all images of the set one noise. A trial of it without"
            f" the model failed ({self.untried}), and here the images differ from the first model"
            " call on. With a theta-schedule that begins at 0, in mode exact or local, Coupled can"
            " tell from the run itself."
        )


def watch(
    guider: comfy.samplers.CFGGuider,
    sampler: comfy.samplers.Sampler,
    alike: bool,
    untried: Exception | None,
) -> None:
    """Watches the run that a guider begins; the guider's options are of this run alone."""
    add_wrapper_with_key(
        WrappersMP.PREDICT_NOISE,
        KEY,
        Watch(sampler, alike, untried),
        guider.model_options,
        is_model_options=True,
    )


def refuse_noise(sampler: comfy.samplers.Sampler) -> None:
    raise ValueError(
        "Choose a sampler whose noise can be shared, such as euler_ancestral or dpmpp_2m_sde, or"
        f" set s_churn (or eta, if it has one) to 0: {name_of(sampler)} draws noise of its own for"
        " each image with these options, which cannot be shared."
    )


def near(a: torch.Tensor, b: torch.Tensor) -> bool:
    """Whether two tensors differ by rounding at most."""
    return bool((a - b).abs().max() <= ROUNDING * b.abs().max())


def name_of(sampler: comfy.samplers.Sampler) -> str:
    """The name that the host's lists have for a sampler."""
    function: Any = getattr(sampler, "sampler_function", sampler)
    function = inspect.unwrap(function)
    function = getattr(function, "func", function)  # of a partial
    name = getattr(function, "__name__", type(function).__name__)
    return name.removeprefix("sample_").removesuffix("_function")
