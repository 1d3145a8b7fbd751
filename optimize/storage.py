"""Where studies live: Optuna's storage, so that a study can be resumed, and shared by workers that
come and go.

A worker gives a sign of life while it computes. A candidate whose worker fell silent is computed
again by another, which goes on with the sets that the first one had measured.
"""

import re
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ..metrics.packages import require

if TYPE_CHECKING:
    import optuna

# the environment variable; never a widget, for it may hold a password
STUDY_URL = "COUPLED_STUDY_URL"
JOURNALS = (".journal", ".log")
HEARTBEAT = 20  # seconds between signs of life
GRACE = 90  # seconds of silence until a worker counts as gone
RETRIES = 3
WAITS = (0.5, 1, 2)  # seconds
PACKAGES = {"postgresql": "psycopg", "mysql": "pymysql"}
# psycopg 3 and PyMySQL are the drivers that pip installs ready for use.
DRIVERS = {
    "postgres": "postgresql+psycopg",
    "postgresql": "postgresql+psycopg",
    "mysql": "mysql+pymysql",
}


def import_optuna():
    """The package optuna, quiet; ImportError that says what to install."""
    optuna = require("optuna", "optuna cmaes", needed_by="Optimize Theta")
    if int(optuna.__version__.split(".")[0]) < 5:
        raise ImportError(
            f"Optimize Theta needs optuna 5 or newer; this is {optuna.__version__}. "
            "pip install --upgrade optuna cmaes in ComfyUI's environment."
        )
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    # Constraints are already part of the score.
    warnings.filterwarnings("ignore", "Constraints have been set, but CmaEsSampler", UserWarning)
    return optuna


def open_storage(
    place: str | Path, heartbeat: int = HEARTBEAT, grace: int = GRACE
) -> "optuna.storages.BaseStorage":
    """The storage of a database URL (sqlite, postgresql, mysql), of a journal file, or of a SQLite
    file.

    Files are made where they are not there yet. ValueError if it cannot be opened, without the
    URL's password.
    """
    import_optuna()
    url = find_address(place)
    open_place = open_journal if url.endswith(JOURNALS) else open_database
    try:
        return open_place(url, heartbeat, grace)
    except ImportError as error:
        kind = url.split("+")[0].split(":")[0]
        raise ImportError(
            f"A study on {kind} needs the package {PACKAGES.get(kind, error.name)}: pip install "
            f"{PACKAGES.get(kind, error.name)} in ComfyUI's environment."
        ) from error
    except Exception as error:  # each driver raises its own
        raise ValueError(
            f"The study's storage {hide_password(url)} cannot be opened: "
            f"{hide_password(str(error))[:300]}"
        ) from None  # its own words may hold the password


def find_address(place: str | Path) -> str:
    """A URL, or the path of a journal, whose folder is made."""
    text = str(place)
    if "://" not in text:
        Path(text).expanduser().resolve().parent.mkdir(parents=True, exist_ok=True)
        return text if text.endswith(JOURNALS) else f"sqlite:///{Path(text).expanduser().resolve()}"
    kind, rest = text.split("://", 1)
    return f"{DRIVERS.get(kind, kind)}://{rest}"


def hide_password(text: str) -> str:
    # Up to the last @: a password may hold one.
    return re.sub(r"(//[^:/@\s]*):\S*@", r"\1:…@", text)


def make_retry() -> Callable:
    """Puts a failed candidate back in line, with what is measured already."""
    from optuna.storages import RetryHeartbeatStaleTrialCallback

    return RetryHeartbeatStaleTrialCallback(RETRIES, inherit_intermediate_values=True)


def open_database(url: str, heartbeat: int, grace: int) -> "optuna.storages.RDBStorage":
    from optuna.storages import RDBStorage
    from sqlalchemy import event

    arguments = {"timeout": 60} if url.startswith("sqlite") else {}  # while another worker writes
    open_storage = partial(
        RDBStorage,
        url,
        {"connect_args": arguments, "pool_pre_ping": True},
        heartbeat_interval=heartbeat,
        grace_period=grace,
        heartbeat_stale_trial_callback=make_retry(),
    )
    storage = open_beside_others(open_storage)
    if url.startswith("sqlite"):
        event.listen(storage.engine, "begin", lock_at_once)
    return storage


def open_beside_others(
    open_storage: "Callable[[], optuna.storages.RDBStorage]",
) -> "optuna.storages.RDBStorage":
    """Tries again while another worker makes the tables of a new study."""
    from sqlalchemy.exc import DBAPIError, IntegrityError

    for wait in WAITS:
        try:
            return open_storage()
        except DBAPIError as error:
            made_at_once = isinstance(error, IntegrityError) or "exists" in str(error)
            if not made_at_once:
                raise
            time.sleep(wait)
    return open_storage()


def lock_at_once(connection) -> None:
    """SQLite locks at the first write: until then two workers read that a queued candidate is free,
    and both take it.
    """
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def open_journal(path: str, heartbeat: int, grace: int) -> "optuna.storages.JournalStorage":
    """A journal file.

    Optuna has signs of life for databases only; here they are written to the journal.
    """
    from optuna.storages import JournalStorage
    from optuna.storages._heartbeat import BaseHeartbeat
    from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
    from optuna.trial import TrialState

    class LiveJournal(JournalStorage, BaseHeartbeat):
        def record_heartbeat(self, trial_id: int) -> None:
            self.set_trial_system_attr(trial_id, "alive", time.time())

        def _get_stale_trial_ids(self, study_id: int) -> list[int]:
            running = self.get_all_trials(study_id, deepcopy=False, states=(TrialState.RUNNING,))
            return [trial._trial_id for trial in running if time.time() - last_sign(trial) > grace]

        def get_heartbeat_interval(self) -> int:
            return heartbeat

        def get_heartbeat_stale_trial_callback(self) -> Callable:
            return make_retry()

    return LiveJournal(JournalFileBackend(path, JournalFileOpenLock(path)))


def last_sign(trial: "optuna.trial.FrozenTrial") -> float:
    """When a candidate was last heard of, in seconds.

    One that was retried still carries its first worker's sign.
    """
    assert trial.datetime_start is not None  # it runs
    return max(trial.system_attrs.get("alive", 0.0), trial.datetime_start.timestamp())
