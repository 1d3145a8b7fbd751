"""Makes one record after the other: paints, measures, judges, keeps."""

import gc
import traceback
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import torch

from .filters import FAILED
from .instructions import describe_edits
from .measures import Embedded, embed, measure
from .models import describe_files, load_models
from .paint import Painted, SetPainter
from .pictures import to_floats
from .records import Record
from .samples import VERSION, Files, files_of, to_json
from .settings import Settings
from .store import Store

STARTS = 3  # of a record that kills its process
Pictures = tuple[Painted, Embedded | None]


class Maker:
    """All that makes records, loaded once."""

    def __init__(self, settings: Settings):
        torch.set_num_threads(settings.threads)
        self.settings = settings
        self.loaded = load_models(settings.models)
        self.painter = SetPainter(self.loaded, settings)

    @torch.inference_mode()
    def paint(self, record: Record) -> Pictures:
        """What needs the models, which belong to one thread alone: the host moves them."""
        painted = self.painter.paint(record)
        judge = self.loaded.judge
        if judge is None:
            return painted, None
        return painted, embed(judge, to_floats(painted.images), record.split.prompts)

    @torch.inference_mode()
    def finish(self, record: Record, painted: Painted, embedded: Embedded | None) -> Files:
        """What needs no model: the other measures, the verdict, the files."""
        masks = None if painted.masks is None else torch.from_numpy(painted.masks).float()
        measures = measure(to_floats(painted.images), masks, painted.lost, embedded)
        content = self.describe(record, painted.plate is not None)
        content["measures"] = measures
        if painted.uncoupled is not None:
            content["measures_uncoupled"] = measure(to_floats(painted.uncoupled), masks)
        content["verdict"], content["reason"] = self.settings.filters.judge(measures)
        return files_of(content, painted.images, painted.plate, painted.masks, painted.uncoupled)

    def fail(self, record: Record, error: Exception) -> Files:
        """A record that could not be made, with its reason."""
        reason = f"{type(error).__name__}: {error}".splitlines()[0][:500]
        content = self.describe(record, False)
        content |= {"measures": {}, "verdict": FAILED, "reason": reason}
        return {"json": to_json(content)}

    def describe(self, record: Record, has_plate: bool) -> dict[str, Any]:
        """The record in full: what it was asked for, and what it was made with."""
        settings = self.settings
        schedule = self.painter.schedule
        width, height = settings.size_of(record)
        return {
            **record.texts(),
            "edits": describe_edits(record.subjects, has_plate),
            "width": width,
            "height": height,
            "own_plate": bool(record.plate),
            "steps": settings.steps,
            "sampler": settings.sampler_name,
            "scheduler": settings.scheduler,
            "guidance": settings.guidance,
            "mode": settings.mode,
            "theta": {"shape": schedule.shape, **schedule.parameters},
            "model": settings.models.name,
            "models": describe_files(settings),
            "version": VERSION,
        }


def make_records(maker: Maker, store: Store, records: Iterable[Record]) -> Iterator[Record]:
    """Makes records and keeps them; each is given back when it is on disk.

    Measuring, writing and packing of one record happen while the next one is sampled. What fails
    is noted and does not stop the rest; a full disk does.
    """
    with ThreadPoolExecutor(1) as behind:
        waiting: Future[Record] | None = None
        for record in records:
            found = paint(maker, record)
            if waiting:
                yield waiting.result()
            waiting = behind.submit(keep, maker, store, record, found)
        if waiting:
            yield waiting.result()


def refuse_deadly(maker: Maker, store: Store, records: Iterable[Record]) -> Iterator[Record]:
    """The records, but for one whose process died each time that it was begun, as one does that the
    system has no memory for: it is noted as failed.
    """
    for record in records:
        if store.count_start(record.id) <= STARTS:
            yield record
        else:
            reason = ChildProcessError(f"its process died {STARTS} times while it was made")
            store.add(record.id, maker.fail(record, reason))


def paint(maker: Maker, record: Record) -> Pictures | Exception:
    """The pictures, or why there are none."""
    try:
        return maker.paint(record)
    except Exception as error:
        # the traceback holds the tensors of what ran out of memory
        traceback.clear_frames(error.__traceback__)
        gc.collect()
        return error


def keep(maker: Maker, store: Store, record: Record, found: Pictures | Exception) -> Record:
    """Puts a record on disk, with the reason if it failed, and gives it back."""
    store.add(record.id, finish(maker, record, found))
    return record


def finish(maker: Maker, record: Record, found: Pictures | Exception) -> Files:
    if isinstance(found, Exception):
        return maker.fail(record, found)
    try:
        return maker.finish(record, *found)
    except (ValueError, RuntimeError) as error:
        return maker.fail(record, error)
