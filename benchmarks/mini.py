"""What the mini model can do: `python3 dev.py bench mini`, written to docs/mini.json.

On held-out pairs of subject and place: the share whose subject and place a separately trained judge finds right.
On sets of two subjects in one place: f_bg (Eq. 13-15 of the paper, with the judge's masks) at the same seed, stock and
coupled at several centers.
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
CENTERS = (6, 12, 18, 24)


def main() -> int:
    parser = argparse.ArgumentParser(prog="benchmarks.mini", description=__doc__)
    parser.add_argument("--host", type=Path, required=True, help="the ComfyUI folder")
    parser.add_argument("--work", type=Path, default=ROOT / ".work" / "mini", help="the scenes that training left")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--sets", type=int, default=24)
    options = parser.parse_args()
    load_pack(options.host)
    bench = MiniBench(options.work)
    report = {"steps": STEPS, "guidance": GUIDANCE, **bench.alignment(options.seeds), **bench.backgrounds(options.sets)}
    print(json.dumps(report, indent=2))
    (ROOT / "docs").mkdir(exist_ok=True)
    (ROOT / "docs" / "mini.json").write_text(json.dumps(report, indent=2) + "\n")
    return 0


class MiniBench:
    """The mini model, its judge and the held-out texts."""

    def __init__(self, work: Path):
        import comfy.utils
        import torch
        from coupled.mini import judge, world
        from coupled.mini.dataset import SceneArrays
        from coupled.mini.model import load_mini

        comfy.utils.set_progress_bar_enabled(False)
        self.model, self.clip, self.vae = load_mini()
        self.world, self.verdicts = world, judge.verdicts
        self.judge = judge.Judge()
        path = work / "judge.pt"
        if not path.is_file():
            self.judge = judge.train_judge(SceneArrays(work / "train"))
            torch.save(self.judge.state_dict(), path)
        self.judge.load_state_dict(torch.load(path, weights_only=True))
        self.judge.eval()

    def stock(self, prompts: list[str], seed: int):
        """Images [n, 128, 128, 3] of the unpatched model, each from the same noise."""
        import comfy.sample
        import torch
        from coupled.sampling import shared_noise

        latent = {"samples": torch.zeros(1, 16, 16, 16)}
        images = []
        for prompt in prompts:
            (tokens, values), *_ = self.clip.encode_from_tokens_scheduled(self.clip.tokenize(prompt))
            positive = [[tokens, {**values, "guidance": GUIDANCE}]]
            x = comfy.sample.sample(
                self.model,
                shared_noise(latent, seed, 1),
                STEPS,
                1.0,
                "euler",
                "simple",
                positive,
                positive,
                latent["samples"],
                seed=seed,
                disable_pbar=True,
            )
            images.append(self.vae.decode(x))
        return torch.cat(images)

    def coupled(self, background: str, entities: list[str], seed: int, center: float):
        """Images [n, 128, 128, 3] of a coupled set, sin k = 0.8."""
        import torch
        from coupled.attention import couple, encode_set
        from coupled.sampling import sample_set
        from coupled.schedules.families import family

        theta = family("sin", center=center, k=0.8, reference_steps=50)
        positive = encode_set(self.clip, background, entities, GUIDANCE)
        latent = {"samples": torch.zeros(1, 16, 16, 16)}
        return self.vae.decode(sample_set(couple(self.model, theta), positive, latent, seed, STEPS)["samples"])

    def alignment(self, seeds: int) -> dict:
        """Shares of held-out prompts whose subject, place, and both are right."""
        pairs = [(s, p) for s in self.world.SUBJECTS for p in self.world.PLACES if self.world.held_out(s.name, p.name)]
        right, started = [], time.time()
        for seed, (s, p) in itertools.product(range(seeds), pairs):
            prompt = f"{s.nouns[0].capitalize()} {s.verbs[0]} {p.phrases[0]}, {p.tails[0]}."
            subjects, places, _ = self.verdicts(self.judge, self.stock([" ".join(prompt.split())], seed))
            right.append((subjects[0] == s.name, places[0] == p.name))
        share = lambda hits: round(sum(hits) / len(right), 3)  # noqa: E731
        return {
            "held_out_images": len(right),
            "subject_right": share(a for a, _ in right),
            "place_right": share(b for _, b in right),
            "both_right": share(a and b for a, b in right),
            "seconds_per_image": round((time.time() - started) / len(right), 2),
        }

    def backgrounds(self, count: int) -> dict:
        """Mean f_bg of sets of two, stock at the same seed and coupled, with the share of subjects right."""
        rows = {}
        for i in range(count):
            place = self.world.PLACES[i % len(self.world.PLACES)]
            pair = [self.world.SUBJECTS[(5 * i + k) % len(self.world.SUBJECTS)] for k in (0, 11)]
            who = [f"{s.nouns[0].capitalize()} {s.verbs[0]}".strip() for s in pair]
            where = f"{place.phrases[0]}, {place.tails[0]}"
            methods = {"same seed": self.stock([f"{w} {where}." for w in who], i)}
            background = where.split(" ", 1)[1]
            for center in CENTERS:
                methods[f"coupled, center {center}"] = self.coupled(
                    background[0].upper() + background[1:] + ".", [f"{w}." for w in who], i, center
                )
            for name, images in methods.items():
                rows.setdefault(name, []).append(self.score(images, [s.name for s in pair]))
        return {"sets": {name: summary(scores) for name, scores in rows.items()}}

    def score(self, images, names: list[str]) -> tuple[float | None, float]:
        """(f_bg, or None when a subject is missing or nothing is visible; share of subjects right)."""
        subjects, _, masks = self.verdicts(self.judge, images)
        visible = 1 - masks.amax(0)
        hits = sum(a == b for a, b in zip(subjects, names, strict=True)) / len(names)
        if visible.mean() < 0.1 or masks.sum((1, 2)).min() < 60:
            return None, hits
        squares = (images[0] - images[1]).square().mean(-1) * visible
        return -float(squares.sum() / visible.sum()), hits


def summary(scores: list[tuple[float | None, float]]) -> dict:
    known = [f for f, _ in scores if f is not None]
    return {
        "f_bg_e4": round(1e4 * statistics.mean(known), 2) if known else None,
        "f_bg_e4_spread": round(1e4 * statistics.pstdev(known), 2) if known else None,
        "scored": f"{len(known)} of {len(scores)}",
        "subject_right": round(statistics.mean(h for _, h in scores), 3),
    }


if __name__ == "__main__":
    sys.exit(main())
