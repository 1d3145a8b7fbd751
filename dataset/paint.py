"""Paints the set of a record: the images, the plate, what of each image is its own, and the
same-seed pictures.
"""

import collections
import dataclasses
from pathlib import Path

import numpy as np
import torch

from ..attention.conditioning import couple_conditioning
from ..attention.report import Report
from ..baselines import random_seed
from ..sampling import couple, sample_set
from ..sampling.decode import decode_each, decode_run
from ..schedules import family
from .models import Loaded
from .pictures import read_picture, to_bytes
from .records import Record
from .settings import Settings

SHARPNESS = 0.8  # k of sin, of 50 steps
REFERENCE_STEPS = 50
KEPT_BYTES = 2 << 30  # of encoded texts; one of 512 tokens for Flux takes 4 to 8 MB
SCALE = 8  # pixels of a latent pixel, of Flux's VAE


@dataclasses.dataclass(frozen=True)
class Painted:
    """Pictures [n, H, W, 3] of 8 bits; the plate [H, W, 3] and masks [n, H, W] in 0 and 1 in mode
    local. lost: the images whose entity could not be told from the background.
    """

    images: np.ndarray
    plate: np.ndarray | None
    masks: np.ndarray | None
    uncoupled: np.ndarray | None
    lost: tuple[int, ...] = ()


class Texts:
    """Encodes each distinct text once, as long as there is room."""

    def __init__(self, clip):
        self.clip = clip
        self.known: collections.OrderedDict[str, list] = collections.OrderedDict()
        self.encoded = 0
        self.bytes = 0

    def forget(self) -> None:
        self.known.clear()
        self.bytes = 0

    def __call__(self, text: str) -> list:
        """The CONDITIONING of one text."""
        if text in self.known:
            self.known.move_to_end(text)
            return self.known[text]
        found = self.clip.encode_from_tokens_scheduled(self.clip.tokenize(text))
        self.encoded += 1
        self.known[text] = found
        self.bytes += size_of(found)
        while len(self.known) > 1 and self.bytes > KEPT_BYTES:
            self.bytes -= size_of(self.known.popitem(last=False)[1])
        return found


def size_of(conditioning: list) -> int:
    return sum(entry[0].nbytes for entry in conditioning)


class SetPainter:
    """All that paints sets: the models, loaded once, and the texts, encoded once."""

    def __init__(self, loaded: Loaded, settings: Settings):
        self.loaded = loaded
        self.settings = settings
        self.texts = Texts(loaded.clip)
        self.schedule = family(
            "sin", center=settings.center, reference_steps=REFERENCE_STEPS, k=SHARPNESS
        )
        self.coupled = couple(loaded.model, self.schedule, settings.mode)

    @torch.inference_mode()
    def paint(self, record: Record) -> Painted:
        """Everything of one record.

        ValueError if it cannot be made; the host's out-of-memory error if it does not fit.
        """
        settings, report = self.settings, Report()
        latent = self.empty_latent(record)
        split = record.split
        positive = couple_conditioning(
            self.texts(split.background), list(map(self.texts, split.entities)), settings.guidance
        )
        samples = sample_set(
            self.model_for(record),
            positive,
            latent,
            record.seed,
            settings.steps,
            settings.sampler_name,
            settings.scheduler,
            report=report,
        )
        images_NHWC, plate_1HWC, masks = decode_run(samples, self.loaded.vae, report)
        return Painted(
            to_bytes(images_NHWC),
            None if plate_1HWC is None else to_bytes(plate_1HWC)[0],
            None if masks is None else masks.numpy().astype(np.uint8),
            self.paint_uncoupled(record, latent) if settings.uncoupled else None,
            tuple(report.lost),
        )

    def empty_latent(self, record: Record) -> dict:
        width, height = self.settings.size_of(record)
        return {"samples": torch.zeros(1, 16, height // SCALE, width // SCALE)}

    def model_for(self, record: Record):
        """The coupled model, with the record's own plate if it has one."""
        if not record.plate:
            return self.coupled
        picture = read_picture(Path(record.plate), self.settings.size_of(record))
        plate = self.loaded.vae.encode(picture)
        return couple(self.loaded.model, self.schedule, self.settings.mode, plate=plate)

    def paint_uncoupled(self, record: Record, latent: dict) -> np.ndarray:
        """The same seed and prompts without coupling."""
        settings = self.settings
        samples = random_seed(
            self.loaded.model,
            self.loaded.clip,
            record.split.prompts,
            latent,
            record.seed,
            settings.steps,
            settings.sampler_name,
            settings.scheduler,
            settings.guidance,
        )
        return to_bytes(decode_each(self.loaded.vae, samples["samples"]))
