"""What the mini model paints, judged; the report of `bench mini`."""

import itertools
import math
import statistics
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import comfy.sd
import comfy.utils
import torch

from coupled.attention import encode_set
from coupled.attention.report import Report
from coupled.baselines import random_seed
from coupled.metrics import background_similarity
from coupled.metrics.alignment import text_alignment
from coupled.metrics.segment import segment_entities
from coupled.mini.clip import load_mini_clip
from coupled.mini.model import load_mini
from coupled.mini.paths import LORA
from coupled.mini.sam import load_mini_sam
from coupled.mini.size import SIZE
from coupled.mini.training.judge import SCENES, STEPS, provide_judge, verdicts
from coupled.mini.world import PLACES, SUBJECTS, held_out
from coupled.sampling import couple, sample_set
from coupled.sampling.decode import decode_run
from coupled.schedules.families import family

from ..models import GUIDANCE, empty_latent
from .drawn import held_out_iou, held_out_ranking, prompt_of
from .sheet import save_sheet
from .wholeness import wholeness

TURBO_STEPS = 4
ALL_SETTINGS = (("local", 4), ("exact", 6), ("exact", 12), ("exact", 18), ("exact", 24))


@dataclass(frozen=True)
class Size:
    """How much is measured; `pairs`: of the held-out ones, None: all."""

    seeds: int = 2
    sets: int = 24
    pairs: int | None = None
    steps: int = 30
    settings: tuple[tuple[str, float], ...] = ALL_SETTINGS  # mode and center
    drawn: int = 200
    ranked: int = 100
    judge_scenes: int = SCENES
    judge_steps: int = STEPS


QUICK = Size(
    seeds=1,
    sets=1,
    pairs=2,
    steps=2,
    settings=ALL_SETTINGS[:1],
    drawn=1,
    ranked=1,
    judge_scenes=60,
    judge_steps=3,
)


class MiniBench:
    """The mini models and the judge."""

    def __init__(self, work: Path, size: Size):
        comfy.utils.set_progress_bar_enabled(False)
        self.work = work
        self.size = size
        self.model, self.clip, self.vae = load_mini()
        lora = comfy.utils.load_torch_file(str(LORA), safe_load=True)
        self.turbo, _ = comfy.sd.load_lora_for_models(self.model, None, lora, 1.0, 0.0)
        self.judge = provide_judge(work, size.judge_scenes, size.judge_steps)
        self.segmenter = load_mini_sam()
        self.clip_model = load_mini_clip()

    def report(self) -> dict:
        report = {
            "guidance": GUIDANCE,
            "base": self.held_out(self.model, self.size.steps, self.work / "base.png"),
            "turbo": self.held_out(self.turbo, TURBO_STEPS, self.work / "turbo.png"),
            "sets": self.backgrounds(),
            "mini_sam": held_out_iou(partial(segment_entities, self.segmenter), self.size.drawn),
            "mini_clip": held_out_ranking(
                partial(text_alignment, self.clip_model), self.size.ranked
            ),
        }
        return round_numbers(report)

    def stock(self, model, prompts: list[str], seed: int, steps: int) -> torch.Tensor:
        """Images [n, H, W, 3] of an uncoupled model, each from the same noise."""
        latent = random_seed(
            model, self.clip, prompts, empty_latent(SIZE), seed, steps, guidance=GUIDANCE
        )
        return self.vae.decode(latent["samples"])

    def coupled(
        self, background: str, entities: list[str], seed: int, mode: str, center: float
    ) -> torch.Tensor:
        """Images [n, H, W, 3] of a coupled set, sin k = 0.8, as Decode Coupled Set gives them."""
        theta = family("sin", center=center, k=0.8, reference_steps=50)
        model = couple(self.model, theta, mode)
        positive = encode_set(self.clip, background, entities, GUIDANCE)
        report = Report()
        latent = sample_set(
            model, positive, empty_latent(SIZE), seed, self.size.steps, report=report
        )
        return decode_run(latent, self.vae, report)[0]

    def held_out(self, model, steps: int, sheet: Path) -> dict:
        """Pictures of held-out prompts: shares whose subject and place are right, wholeness in the
        mean and of the least whole subject, seconds; and a sheet to look at.
        """
        pairs = [(s, p) for s in SUBJECTS for p in PLACES if held_out(s.name, p.name)]
        pairs = pairs[: self.size.pairs]
        right, images, whole = [], [], {}
        seconds = 0.0
        for seed, (s, p) in itertools.product(range(self.size.seeds), pairs):
            started = time.time()
            image = self.stock(model, [prompt_of(s, p)], seed, steps)
            seconds += time.time() - started
            ((subject, place),) = verdicts(self.judge, image)
            right.append((subject == s.name, place == p.name))
            mask_HW = segment_entities(self.segmenter, image)[0]
            whole.setdefault(s.name, []).append(wholeness(mask_HW, s))
            images.append(image)
        save_sheet(torch.cat(images), sheet)
        of_subjects = {name: statistics.mean(values) for name, values in whole.items()}
        least = min(of_subjects, key=of_subjects.__getitem__)
        return {
            "images": len(right),
            "steps": steps,
            "subject_right": statistics.mean(a for a, _ in right),
            "place_right": statistics.mean(b for _, b in right),
            "wholeness": statistics.mean(of_subjects.values()),
            "least_whole": f"{least} {of_subjects[least]:.3f}",
            "seconds_per_image": seconds / len(right),
        }

    def backgrounds(self) -> dict:
        """Mean f_bg of sets of two, stock at the same seed and coupled, with the share of subjects
        right.
        """
        rows = {}
        for seed in range(self.size.sets):
            place = PLACES[seed % len(PLACES)]
            pair = [SUBJECTS[(5 * seed + k) % len(SUBJECTS)] for k in (0, 11)]
            for method, images in self.paint(pair, place, seed).items():
                rows.setdefault(method, []).append(self.score(images, [s.name for s in pair]))
        return {method: summary(scores) for method, scores in rows.items()}

    def paint(self, pair: list, place, seed: int) -> dict[str, torch.Tensor]:
        """The images of one set by each method."""
        prompts = [prompt_of(s, place) for s in pair]
        images = {"same seed": self.stock(self.model, prompts, seed, self.size.steps)}
        background = prompt_of(place=place)
        entities = [prompt_of(s) for s in pair]
        for mode, center in self.size.settings:
            method = f"coupled, {mode}, center {center}"
            images[method] = self.coupled(background, entities, seed, mode, center)
        return images

    def score(self, images: torch.Tensor, names: list[str]) -> tuple[float, float]:
        """(f_bg, NaN where it must not score; share of subjects right)."""
        judged = verdicts(self.judge, images)
        hits = [subject == name for (subject, _), name in zip(judged, names, strict=True)]
        masks = segment_entities(self.segmenter, images)
        return background_similarity(images, masks).f_bg, statistics.mean(hits)


def summary(scores: list[tuple[float, float]]) -> dict:
    scored = [1e4 * f for f, _ in scores if not math.isnan(f)]
    return {
        "f_bg_e4": statistics.mean(scored) if scored else None,
        "f_bg_e4_spread": statistics.pstdev(scored) if scored else None,
        "scored": f"{len(scored)} of {len(scores)}",
        "subject_right": statistics.mean(hits for _, hits in scores),
    }


def round_numbers(value):
    """A report with three decimals."""
    if isinstance(value, dict):
        return {name: round_numbers(part) for name, part in value.items()}
    return round(float(value), 3) if isinstance(value, float) else value
