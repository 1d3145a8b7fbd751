"""Data sets of coupled images: `python3 dev.py dataset make PROMPTS OUT`.

PROMPTS is JSONL, CSV or Parquet of records (id; prompts, or background and entities; optional
subjects, seed, width, height, plate), or a grammar (.json); dataset/examples/mini.json is one. A
run that was stopped goes on where it stopped. In several processes (torchrun, Slurm) each makes its
share; with --engine ray, Ray's actors do.

`dataset judge OUT --filters FILE` judges all sets again; `dataset finish OUT` writes page, card and
formats again.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys
from pathlib import Path

from .pack import load_host

FORMATS = ("parquet", "folders")
FLUX_SIZE = 1024  # pixels


def main(arguments: list[str] | None = None) -> int:
    options = parse_options(arguments)
    choose_device()
    load_host(options.host)
    try:
        options.run(options)
    except (OSError, ImportError, ValueError) as error:
        sys.stdout.flush()  # what is left in a pipe's buffer, of Ray too, is not the last word
        print(f"The data set stopped: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped; the same command goes on from here.", file=sys.stderr)
        return 130
    return 0


def make(options: argparse.Namespace) -> None:
    from coupled.dataset import run

    rank, world = run.find_rank()
    plan = run.plan(options.prompts, options.out, read_settings(options))
    engine = run.make_here
    if options.engine == "ray":
        from .ray_engine import RayEngine

        engine = RayEngine(options.host, options.workers, options.address)
    run.make(plan, engine, rank, world)
    # The last of several processes writes the page and the card.
    if all(map(plan.store.is_done, plan.store.shards)):
        finish(options)


def judge(options: argparse.Namespace) -> None:
    from coupled.dataset.filters import read_filters
    from coupled.dataset.judge import judge_again

    judge_again(options.out, read_filters(options.filters))
    finish(options)


def finish(options: argparse.Namespace) -> None:
    from coupled.dataset import run
    from coupled.dataset.claim import count_missing

    count = run.finish(options.out, options.formats, options.license)
    print(f"{count} sets. Page: {options.out / 'index.html'}")
    if missing := count_missing(options.out):
        print(
            f"{missing} more are to be made: `dataset make`, with the options as before, does so."
        )


def read_settings(options: argparse.Namespace):
    from coupled.dataset.filters import read_filters
    from coupled.dataset.settings import Models, Settings

    names = (field.name for field in dataclasses.fields(Models))
    models = Models(**{name: getattr(options, name) for name in names})
    width, height = read_size(options.size, models)
    return Settings(
        models=models,
        steps=options.steps,
        sampler_name=options.sampler,
        scheduler=options.scheduler,
        guidance=options.guidance,
        mode=options.mode,
        center=options.center,
        width=width,
        height=height,
        uncoupled=options.uncoupled,
        filters=read_filters(options.filters),
        per_shard=options.per_shard,
        threads=options.threads,
    )


def read_size(text: str, models) -> tuple[int, int]:
    """(width, height) in pixels; without a text those that the model was trained on."""
    from coupled.mini.size import SIZE

    if not text:
        size = SIZE if models.mini else FLUX_SIZE
        return size, size
    sides = text.split("x")
    if len(sides) > 2 or not all(side.isdigit() for side in sides):
        raise ValueError(f"--size is {text!r}; write one number, or WIDTHxHEIGHT.")
    return int(sides[0]), int(sides[-1])


def choose_device() -> None:
    """One GPU for each of several processes on a machine; before torch looks."""
    local = os.environ.get("LOCAL_RANK") or os.environ.get("SLURM_LOCALID")
    if local is None:
        return
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    devices = visible.split(",") if visible else []
    number = int(local)
    if devices and number >= len(devices):
        return  # the launcher gave this process a GPU of its own
    os.environ["CUDA_VISIBLE_DEVICES"] = devices[number] if devices else local


def parse_options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="dev.py dataset",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--host", type=Path, required=True, help=argparse.SUPPRESS)
    commands = parser.add_subparsers(required=True)
    maker = commands.add_parser("make", help="make a data set, or go on with one")
    maker.set_defaults(run=make)
    maker.add_argument("prompts", type=Path, help="records, or a grammar")
    judger = commands.add_parser("judge", help="judge all sets again, by other filters")
    judger.set_defaults(run=judge)
    finisher = commands.add_parser("finish", help="write page, card and formats of what is there")
    finisher.set_defaults(run=finish)
    for command in (maker, judger, finisher):
        command.add_argument("out", type=Path, help="the data set's folder")
        command.add_argument(
            "--formats", nargs="*", choices=FORMATS, default=[], help="besides WebDataset's shards"
        )
        command.add_argument(
            "--license", default="", help="of the model and its pictures, for the card"
        )
    for command in (maker, judger):
        command.add_argument(
            "--filters", default="coupled", help="coupled, ultraedit, none, or a file of thresholds"
        )
    add_sampling_options(maker)
    add_model_options(maker)
    add_engine_options(maker)
    return parser.parse_args(arguments)


def add_sampling_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--sampler", default="euler")
    parser.add_argument("--scheduler", default="simple")
    parser.add_argument("--guidance", type=float, default=3.5)
    parser.add_argument("--mode", default="local", help="local makes plate and masks")
    parser.add_argument("--center", type=float, default=4, help="of theta's sine, in steps of 50")
    parser.add_argument(
        "--size", default="", help="pixels, one number or WIDTHxHEIGHT; Mini Flux's, or 1024"
    )
    parser.add_argument("--uncoupled", action="store_true", help="the same-seed pictures, too")


def add_model_options(parser: argparse.ArgumentParser) -> None:
    models = parser.add_argument_group("models", "names as in ComfyUI's loaders; none: Mini Flux")
    for name in ("unet", "clip-l", "t5", "vae"):
        models.add_argument(f"--{name}", default="")
    models.add_argument("--weight-dtype", default="default")
    models.add_argument("--lora", default="", help="for the diffusion model")
    models.add_argument("--lora-strength", type=float, default=1.0)
    models.add_argument("--clip-weights", default="", help="an open_clip file to measure with")
    models.add_argument("--clip-model", default="ViT-B-32-quickgelu")


def add_engine_options(parser: argparse.ArgumentParser) -> None:
    engine = parser.add_argument_group("engine")
    engine.add_argument("--engine", choices=["loop", "ray"], default="loop")
    engine.add_argument("--workers", type=int, default=0, help="Ray's actors (one a GPU, or core)")
    engine.add_argument("--address", default=None, help="of a Ray cluster; none starts one here")
    engine.add_argument("--per-shard", type=int, default=100, help="records of a shard")
    engine.add_argument("--threads", type=int, default=1, help="of torch in a process, on a CPU")


if __name__ == "__main__":
    sys.exit(main())
