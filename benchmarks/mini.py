"""What the mini models can do: `python3 dev.py bench mini`, written to docs/mini.json.

On held-out pairs of subject and place: the share whose subject and place a separately trained judge
finds right, and how well Mini SAM and Mini CLIP do on drawn scenes. On sets of two subjects in one
place: f_bg at the same seed, stock and coupled in mode local, and in mode exact at several centers.
"""

import argparse
import itertools
import json
import statistics
import sys
import time
from pathlib import Path

from devtools.environment import ROOT
from devtools.pack import load_pack

STEPS, GUIDANCE = 30, 3.5
SETTINGS = (("local", 4), ("exact", 6), ("exact", 12), ("exact", 18), ("exact", 24))  # mode, center


def main() -> int:
    parser = argparse.ArgumentParser(prog="benchmarks.mini", description=__doc__)
    parser.add_argument("--host", type=Path, required=True, help="the ComfyUI folder")
    parser.add_argument(
        "--work", type=Path, default=ROOT / ".work" / "mini", help="the scenes that training left"
    )
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--sets", type=int, default=24)
    options = parser.parse_args()
    load_pack(options.host)
    bench = MiniBench(options.work)
    report = {
        "steps": STEPS,
        "guidance": GUIDANCE,
        **bench.alignment(options.seeds),
        "sets": bench.backgrounds(options.sets),
        **bench.measuring_models(),
    }
    report = rounded(report)
    print(json.dumps(report, indent=2))
    (ROOT / "docs").mkdir(exist_ok=True)
    (ROOT / "docs" / "mini.json").write_text(json.dumps(report, indent=2) + "\n")
    return 0


class MiniBench:
    """The mini models, the judge and the held-out texts."""

    def __init__(self, work: Path):
        import comfy.utils

        from coupled.metrics.clip import ClipModel, Preprocessing
        from coupled.metrics.segment import Segmenter
        from coupled.mini import world
        from coupled.mini.clip import load_mini_clip
        from coupled.mini.judge import judge_of
        from coupled.mini.model import load_mini
        from coupled.mini.sam import load_mini_sam

        comfy.utils.set_progress_bar_enabled(False)
        self.model, self.clip, self.vae = load_mini()
        self.world, self.judge, self.segmenter = world, judge_of(work), Segmenter(load_mini_sam())
        module, tokenize = load_mini_clip()
        self.clip_model = ClipModel(module, tokenize, Preprocessing(size=module.visual.image_size))

    def stock(self, prompts: list[str], seed: int):
        """Images [n, 128, 128, 3] of the unpatched model, each from the same noise."""
        from coupled.baselines import random_seed

        latent = random_seed(
            self.model, self.clip, prompts, empty_latent(), seed, STEPS, guidance=GUIDANCE
        )
        return self.vae.decode(latent["samples"])

    def coupled(self, background: str, entities: list[str], seed: int, mode: str, center: float):
        """Images [n, 128, 128, 3] of a coupled set, sin k = 0.8."""
        from coupled.attention import couple, encode_set
        from coupled.sampling import sample_set
        from coupled.schedules.families import family

        model = couple(self.model, family("sin", center=center, k=0.8, reference_steps=50), mode)
        positive = encode_set(self.clip, background, entities, GUIDANCE)
        return self.vae.decode(sample_set(model, positive, empty_latent(), seed, STEPS)["samples"])

    def alignment(self, seeds: int) -> dict:
        """Shares of held-out prompts whose subject, place, and both are right."""
        from coupled.mini.judge import verdicts

        pairs = [
            (s, p)
            for s in self.world.SUBJECTS
            for p in self.world.PLACES
            if self.world.held_out(s.name, p.name)
        ]
        right, started = [], time.time()
        for seed, (s, p) in itertools.product(range(seeds), pairs):
            image = self.stock([prompt_of(s, p)], seed)
            ((subject, place),) = verdicts(self.judge, image)
            right.append((subject == s.name, place == p.name))
        return {
            "held_out_images": len(right),
            "subject_right": statistics.mean(a for a, _ in right),
            "place_right": statistics.mean(b for _, b in right),
            "both_right": statistics.mean(a and b for a, b in right),
            "seconds_per_image": (time.time() - started) / len(right),
        }

    def backgrounds(self, count: int) -> dict:
        """Mean f_bg of sets of two, stock at the same seed and coupled, with the share of subjects
        right.
        """
        rows = {}
        for i in range(count):
            place = self.world.PLACES[i % len(self.world.PLACES)]
            pair = [self.world.SUBJECTS[(5 * i + k) % len(self.world.SUBJECTS)] for k in (0, 11)]
            methods = {"same seed": self.stock([prompt_of(s, place) for s in pair], i)}
            entities = [prompt_of(s) for s in pair]
            for mode, center in SETTINGS:
                name = f"coupled, {mode}, center {center}"
                methods[name] = self.coupled(prompt_of(place=place), entities, i, mode, center)
            for name, images in methods.items():
                rows.setdefault(name, []).append(self.score(images, [s.name for s in pair]))
        return {name: summary(scores) for name, scores in rows.items()}

    def score(self, images, names: list[str]) -> tuple[float, float]:
        """(f_bg, NaN where it must not score; share of subjects right)."""
        from coupled.metrics import background_similarity
        from coupled.metrics.segment import segment_entities
        from coupled.mini.judge import verdicts

        hits = [
            subject == name
            for (subject, _), name in zip(verdicts(self.judge, images), names, strict=True)
        ]
        return background_similarity(
            images, segment_entities(self.segmenter, images)
        ).f_bg, statistics.mean(hits)

    def measuring_models(self) -> dict:
        """How Mini SAM and Mini CLIP do on drawn scenes of held-out pairs."""
        from coupled.metrics.alignment import text_alignment
        from coupled.metrics.segment import segment_entities
        from coupled.mini.train_clip import held_out_ranking
        from coupled.mini.train_sam import held_out_iou

        return {
            "mini_sam": held_out_iou(lambda images: segment_entities(self.segmenter, images)),
            "mini_clip": held_out_ranking(
                lambda images, texts: text_alignment(self.clip_model, images, texts)
            ),
        }


def empty_latent() -> dict:
    import torch

    return {"samples": torch.zeros(1, 16, 16, 16)}


def prompt_of(subject=None, place=None) -> str:
    """The plainest prompt of a subject, a place, or both."""
    from coupled.mini.world.captions import sentence

    who = f"{subject.nouns[0]} {subject.verbs[0]}" if subject else ""
    where = f"{place.phrases[0]}, {place.tails[0]}" if place else ""
    return sentence(f"{who} {where}" if subject else where.split(" ", 1)[1])


def summary(scores: list[tuple[float, float]]) -> dict:
    known = [1e4 * f for f, _ in scores if f == f]
    return {
        "f_bg_e4": statistics.mean(known) if known else None,
        "f_bg_e4_spread": statistics.pstdev(known) if known else None,
        "scored": f"{len(known)} of {len(scores)}",
        "subject_right": statistics.mean(hits for _, hits in scores),
    }


def rounded(value):
    """A report with three decimals."""
    if isinstance(value, dict):
        return {name: rounded(part) for name, part in value.items()}
    return round(float(value), 3) if isinstance(value, float) else value


if __name__ == "__main__":
    sys.exit(main())
