"""The engine of many machines: Ray Data, with an actor for each GPU that loads the models once.

Ray holds back what the actors cannot take yet, starts an actor that died again, and gives its
records to another, as often as it takes. Actors write into the data set's folder, so all machines
must share it, and the pack's folder.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path

from .environment import ROOT
from .pack import load_host

BATCH = 4  # records given to an actor at once: measuring one overlaps sampling the next


class RayEngine:
    """Makes records by `workers` actors, at `address` or in a Ray of its own."""

    def __init__(self, host: Path, workers: int = 0, address: str | None = None):
        self.host = host.resolve()
        self.workers = workers
        self.address = address

    def __call__(self, settings, store, records) -> Iterator:
        """Each record when it is on disk.

        ImportError without Ray; ConnectionError if there is no cluster at the address;
        ChildProcessError with an actor's own words if it fails.
        """
        if not records:
            return
        from coupled.metrics.packages import require

        ray = require("ray", "ray[data]", needed_by="--engine ray")
        require("ray.data", "ray[data]", needed_by="--engine ray")
        start(ray, self.address, self.workers)
        by_id = {record.id: record for record in records}
        try:
            for row in self.dataset(ray, settings, store, records).iter_rows():
                yield by_id[row["id"]]
        except ray.exceptions.RayError as error:
            raise ChildProcessError(explain(error)) from error
        finally:
            ray.shutdown()

    def dataset(self, ray, settings, store, records):
        """The records, to be made by the actors."""
        kind = "GPU" if ray.cluster_resources().get("GPU") else "CPU"
        workers = self.workers or int(ray.cluster_resources()[kind])
        rows = [
            {"id": one.id, "shard": store.places[one.id], "record": one.to_json()}
            for one in records
        ]
        # What a dead actor had in hand is all that is made again.
        size = max(1, min(BATCH, len(rows) // (4 * workers)))
        return ray.data.from_items(rows, override_num_blocks=-(-len(rows) // size)).map_batches(
            Actor,
            fn_constructor_args=(str(self.host), settings.to_json(), str(store.root.resolve())),
            batch_size=size,
            compute=ray.data.ActorPoolStrategy(size=workers),
            num_cpus=1,
            num_gpus=int(kind == "GPU"),
        )


def start(ray, address: str | None, workers: int) -> None:
    """Connects to a cluster, or starts Ray here."""
    cpus = None if address else workers or os.cpu_count()
    ray.init(
        address=address,
        num_cpus=cpus,
        include_dashboard=False if not address else None,
        log_to_driver=False,
        logging_level=logging.CRITICAL,  # errors are told by `explain`
        runtime_env={"env_vars": {"PYTHONPATH": str(ROOT)}},
    )
    ray.data.DataContext.get_current().enable_progress_bars = False
    for handler in logging.getLogger("ray.data").handlers:
        if isinstance(handler, logging.StreamHandler):  # the terminal's; its files keep all
            handler.setLevel(logging.CRITICAL)


def explain(error: Exception) -> str:
    """The last line of what an actor said; the rest is its way through Ray."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return f"an actor of Ray failed: {lines[-1]}"


class Actor:
    """Loads the models once and makes the records that it is given."""

    def __init__(self, host: str, settings: str, root: str):
        load_host(Path(host))
        from coupled.dataset.settings import Settings
        from coupled.dataset.store import Store
        from coupled.dataset.work import Maker

        self.maker = Maker(Settings.from_json(settings))
        self.store = Store(Path(root), [], self.maker.settings.per_shard)

    def __call__(self, batch: dict) -> dict:
        from coupled.dataset.records import Record
        from coupled.dataset.work import make_records, refuse_deadly

        records = [Record.from_json(str(text)) for text in batch["record"]]
        for record, shard in zip(records, batch["shard"], strict=True):
            self.store.places[record.id] = int(shard)
        # An actor that died may have made some of them.
        missing = [one for one in records if not self.store.has(one.id)]
        safe = refuse_deadly(self.maker, self.store, missing)
        for _ in make_records(self.maker, self.store, safe):
            pass
        return {"id": batch["id"]}
