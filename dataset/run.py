"""A whole data set: checks at the start, the engine's loop, and what is written at the end."""

import dataclasses
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from . import by_hand
from .card import write_card
from .claim import check_judged, claim, read_settings, write_license
from .models import hash_models
from .page import write_page
from .pairs import write_pairs
from .parquet import write_parquet
from .pictures import read_picture
from .records import Record, identify, read_records
from .settings import Settings
from .store import Store, read_metadata

BYTES_A_PIXEL = 2.2  # of a PNG of a photograph
FORMATS = {"parquet": write_parquet, "folders": write_pairs}
RANKS = (("RANK", "WORLD_SIZE"), ("SLURM_PROCID", "SLURM_NTASKS"))

Engine = Callable[[Settings, Store, Sequence[Record]], Iterator[Record]]


@dataclasses.dataclass(frozen=True)
class Plan:
    """What a run makes: the records by their ids, and the folder."""

    settings: Settings
    store: Store
    records: dict[str, Record]

    def missing(self, shards: Iterable[int]) -> list[Record]:
        return [self.records[key] for shard in shards for key in self.store.missing(shard)]


def plan(prompts: Path, folder: Path, settings: Settings) -> Plan:
    """Checks all that can be known at the start, and claims the folder.

    ValueError or FileNotFoundError for a record, a setting, a model or filters that are wrong or
    not there, another data set in the folder, and a disk that is too small.
    """
    settings.check()
    records = read_records(prompts)
    for record in records:
        if record.plate:
            read_picture(Path(record.plate), settings.size_of(record))
    settings = dataclasses.replace(settings, hashes=hash_models(settings.models))
    store = Store(folder, [record.id for record in records], settings.per_shard)
    work = Plan(settings, store, {record.id: record for record in records})
    check_disk(folder, work.missing(store.shards), settings)
    claim(folder, settings, identify(records))
    return work


def check_disk(folder: Path, records: Sequence[Record], settings: Settings) -> None:
    """ValueError if the pictures of these records will surely not fit."""
    need = BYTES_A_PIXEL * sum(pixels_of(record, settings) for record in records)
    at = next(one for one in [folder.resolve(), *folder.resolve().parents] if one.exists())
    free = shutil.disk_usage(at).free
    if need > free:
        raise ValueError(
            f"{len(records)} sets take about {need / 1e9:.1f} GB, and {free / 1e9:.1f} GB are free"
            f" in {folder}. Make room, or choose another folder."
        )


def pixels_of(record: Record, settings: Settings) -> int:
    """Of all pictures of a set."""
    n = len(record.split.prompts)
    pictures = n + 1 + (n if settings.uncoupled else 0)
    width, height = settings.size_of(record)
    return pictures * width * height


def find_rank() -> tuple[int, int]:
    """(which process this is, of how many), as torchrun or Slurm says; (0, 1) without them."""
    for rank, world in RANKS:
        if rank in os.environ and world in os.environ:
            return int(os.environ[rank]), int(os.environ[world])
    return 0, 1


def make(work: Plan, engine: Engine, rank: int = 0, world: int = 1) -> None:
    """Makes all records that are not there; of several processes each makes whole shards."""
    mine = work.store.shards[rank::world]
    for shard in mine:
        work.store.close(shard)
    missing = work.missing(mine)
    progress = Progress(len(missing), sum(len(one.split.prompts) for one in missing))
    for record in engine(work.settings, work.store, missing):
        work.store.close(work.store.places[record.id])
        progress.show(record)


def make_here(settings: Settings, store: Store, records: Sequence[Record]) -> Iterator[Record]:
    """The plain loop: this process makes all records."""
    if not records:
        return
    from .work import Maker, make_records

    yield from make_records(Maker(settings), store, records)


def finish(folder: Path, formats: Sequence[str], license: str = "") -> int:
    """Writes the page, the card and other formats of what is there; the number of records.
    `license`: of the model and its pictures, for the card.

    FileNotFoundError if the folder holds no data set; ValueError while it is half judged.
    """
    settings = read_settings(folder)
    check_judged(folder)
    if license:
        write_license(folder, license)
    if settings.models.by_hand:
        by_hand.close(folder)
    metadata = read_metadata(folder)
    for name in formats:
        FORMATS[name](folder)
    write_page(folder, metadata, settings)
    write_card(folder, metadata, settings)
    return len(metadata)


class Progress:
    """A line for what is done: sets, images a second, the time left."""

    def __init__(self, sets: int, images: int):
        self.sets, self.images = sets, images
        self.done = self.painted = 0
        self.started = time.monotonic()
        self.is_terminal = sys.stdout.isatty()

    def show(self, record: Record) -> None:
        self.done += 1
        self.painted += len(record.split.prompts)
        seconds = time.monotonic() - self.started
        left = seconds / self.done * (self.sets - self.done)
        print(
            f"{self.done}/{self.sets} sets, {self.painted / seconds:.2f} images a second,"
            f" {write_time(left)} left",
            end="\r" if self.is_terminal and self.done < self.sets else "\n",
            flush=True,
        )


def write_time(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
