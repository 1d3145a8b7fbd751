"""The data card: what the data set holds, how it was made, and who may use it how."""

import collections
from collections.abc import Mapping, Sequence
from pathlib import Path

from .claim import read_license
from .filters import FAILED, KEPT, REJECTED
from .measures import MEASURES
from .models import describe_files
from .settings import Settings
from .store import write_aside

MINI_LICENSE = "MIT; the mini model was trained on pictures of Fluent Emoji 3D (MIT)"
UNKNOWN = "not stated; `dataset finish --license` does. That of the model's pictures counts"
FIELDS = {
    "id": "of the record; the seed follows from it unless one was given",
    "prompts": "the whole prompts, one an image",
    "background, entities": "the same, split",
    "subjects": "what the instructions call each entity",
    "edits": "kind (replace, insert, remove), source and target picture, instruction",
    "seed, steps, sampler, scheduler, guidance, mode, theta": "how it was sampled",
    "model, models": "its name; each file's name and SHA-256, the first eight letters of it",
    "measures, verdict, reason": "see below; the reason is that of a set that was not kept",
    "image_I.png": "the images",
    "plate.png": "the same background without any entity",
    "mask_I.png": "white where image I is its own; elsewhere it is the plate",
    "uncoupled_I.png": "with --uncoupled: the same prompt and seed without coupling",
}


def write_card(folder: Path, metadata: Sequence[dict], settings: Settings) -> None:
    """Writes README.md."""
    blocks = [
        front(folder),
        ["# Coupled image sets"],
        [count_sets(metadata, settings)],
        [*describe_making(settings), *describe_rights(folder, metadata, settings)],
        ["## Read it"],
        show_reading(folder),
        ["## Fields"],
        table("field", FIELDS),
        ["## Measures"],
        table("measure", MEASURES),
    ]
    text = "\n\n".join("\n".join(lines) for lines in blocks)
    write_aside(folder / "README.md", f"{text}\n".encode())


def count_sets(metadata: Sequence[dict], settings: Settings) -> str:
    verdicts = collections.Counter(one["verdict"] for one in metadata)
    kept = [one for one in metadata if one["verdict"] == KEPT]
    images = sum(len(one["prompts"]) for one in kept)
    pairs = sum(len(one["edits"]) for one in kept)
    return (
        f"{verdicts[KEPT]} sets of images with one background and different subjects: {images}"
        f" images, {pairs} pairs with an instruction. {verdicts[REJECTED]} more sets did not pass"
        f" the filters ({settings.filters.name}), {verdicts[FAILED]} could not be made; their"
        " metadata is in `metadata/`."
    )


def describe_rights(folder: Path, metadata: Sequence[dict], settings: Settings) -> list[str]:
    """Whose the pictures are."""
    license = read_license(folder) or (MINI_LICENSE if settings.models.mini else UNKNOWN)
    photos = sum(one.get("own_plate", False) for one in metadata)
    return [
        f"- License of model and pictures: {license}",
        f"- The images are synthetic. Sets whose background is a given picture: {photos}.",
    ]


def show_reading(folder: Path) -> list[str]:
    lines = [
        "import webdataset",
        'webdataset.WebDataset("shards/000000.tar", shardshuffle=False).decode("pil")',
    ]
    if (folder / "parquet").is_dir():
        lines += ["import datasets", 'datasets.load_dataset(".")']
    return ["```python", *lines, "```"]


def table(what: str, meanings: Mapping[str, str]) -> list[str]:
    rows = [f"| {key} | {text} |" for key, text in meanings.items()]
    return [f"| {what} | meaning |", "|---|---|", *rows]


def describe_making(settings: Settings) -> list[str]:
    """With which model, and how it was sampled."""
    if settings.models.by_hand:
        return ["- Made in ComfyUI, by the graph that each record holds as `workflow`."]
    files = [f"{file['name']} ({file['sha256']})" for file in describe_files(settings).values()]
    return [
        f"- Models: {', '.join(files)}",
        f"- Sampling: {settings.steps} steps, {settings.sampler_name}, {settings.scheduler},"
        f" guidance {settings.guidance:g}, mode {settings.mode}, theta sin, center"
        f" {settings.center:g}",
    ]


def front(folder: Path) -> list[str]:
    """What the Hub and `datasets` read: where the Parquet files are."""
    lines = ["---", "task_categories:", "- image-to-image"]
    if (folder / "parquet").is_dir():
        lines += ["configs:", "- config_name: default", '  data_files: "parquet/*.parquet"']
    return [*lines, "---"]
