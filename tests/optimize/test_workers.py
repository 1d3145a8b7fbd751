"""A study shared by several processes, one of which is killed: nothing is lost, and nothing is done
twice.
"""

import collections
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import optuna
import pytest
from conftest import HOST
from optuna.trial import TrialState, create_trial

from coupled.optimize import Learning, open_storage
from coupled.optimize.storage import find_address, hide_password, last_sign

from optimize_toy import toy_task
from paths import TESTS

pytestmark = pytest.mark.slow

PROGRAM = TESTS / "optimize_toy.py"
SETS, HEARTBEAT, GRACE, PAUSE = 4, 1, 2, 0.1
BINARIES = [Path(p) for p in (os.environ.get("PATH") or "").split(os.pathsep)] + sorted(
    Path("/usr/lib/postgresql").glob("*/bin"), reverse=True
)


def start_worker(place, number: int, log: Path) -> subprocess.Popen:
    command = [sys.executable, PROGRAM, HOST, place, number, log, PAUSE, HEARTBEAT, GRACE]
    return subprocess.Popen([str(part) for part in command], stderr=subprocess.PIPE, text=True)


def measured(log: Path) -> list[tuple[int, int, tuple]]:
    """(process, place, theta) of each measurement."""
    lines = log.read_text().splitlines() if log.exists() else []
    return [(pid, place, tuple(theta)) for pid, place, theta in map(json.loads, lines)]


def wait_until(what, seconds: float = 300) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end
        time.sleep(0.05)


def share_a_study(place: str, folder: Path) -> None:
    """Three workers; one is killed in the midst of a candidate.

    What the others leave must be whole.
    """
    log = folder / "log"
    workers = {worker.pid: worker for worker in (start_worker(place, i, log) for i in range(3))}
    wait_until(
        lambda: (
            max(collections.Counter(m[0] for m in measured(log)).values(), default=0) >= SETS + 2
        )
    )
    killed = collections.Counter(m[0] for m in measured(log)).most_common(1)[0][
        0
    ]  # by now in its second candidate
    workers[killed].kill()
    workers.pop(killed).communicate()
    errors = [worker.communicate(timeout=120)[1] for worker in workers.values()]
    assert [worker.returncode for worker in workers.values()] == [0, 0], errors

    learning = Learning(toy_task(sets=SETS, candidates=11), open_storage(place), "shared")
    trials = {
        name: learning.open_stage(name).study.get_trials()
        for name in ("sin", "arctan", "01", "knots", "steps")
    }
    for name, found in trials.items():
        done = [t for t in found if t.state == TrialState.COMPLETE]
        assert not [t for t in found if t.state in (TrialState.RUNNING, TrialState.WAITING)]
        assert len(done) >= learning.ladder.budget(learning.open_stage(name)) and all(
            "theta" in t.user_attrs for t in done
        )
    ((name, lost),) = [
        (name, t) for name, found in trials.items() for t in found if t.state == TrialState.FAIL
    ]
    again = [t.state for t in trials[name] if t.system_attrs.get("failed_trial") == lost.number]
    assert again == [TrialState.COMPLETE]
    # A set is measured before it is written down: of the killed worker's sets the last one may have
    # to be done anew.
    lines = measured(log)
    # At so few steps two candidates may be one theta, and two workers may try them at the same
    # time.
    tried = collections.Counter(
        tuple(round(v, 6) for v in t.user_attrs["theta"])
        for found in trials.values()
        for t in found
        if t.state == TrialState.COMPLETE
    )
    twice = [
        m for m, n in collections.Counter(m[1:] for m in lines).items() if n > max(1, tried[m[1]])
    ]
    assert len(twice) <= 1 and all(
        (killed, *m) == [line for line in lines if line[0] == killed][-1] for m in twice
    )
    assert learning.run().finished and measured(log) == lines


@pytest.mark.slow
def test_workers_on_one_machine(tmp_path):
    share_a_study(str(tmp_path / "study.db"), tmp_path)


@pytest.mark.filterwarnings("ignore:Heartbeat of storage")
def test_a_queued_candidate_in_sqlite_is_taken_once(tmp_path):
    """Three free ones and one queued, asked for by four workers at the same moment, many times."""
    storages = [open_storage(tmp_path / "study.db") for _ in range(4)]
    optuna.create_study(storage=storages[0], study_name="raced")
    studies = [optuna.load_study(storage=one, study_name="raced") for one in storages]
    barrier = threading.Barrier(len(studies))

    def take(study):
        barrier.wait()
        return study.ask().number

    with ThreadPoolExecutor(len(studies)) as pool:
        for turn in range(20):
            studies[0].enqueue_trial({"x": turn})
            assert len(set(pool.map(take, studies))) == len(studies)


@pytest.mark.filterwarnings("ignore:Heartbeat of storage")
def test_a_silent_worker_is_replaced_on_a_journal(tmp_path):
    path, log = str(tmp_path / "study.journal"), tmp_path / "log"
    gone = Learning(
        toy_task(sets=SETS, candidates=11), open_storage(path, HEARTBEAT, grace=1), "shared"
    )
    stage = gone.open_stage("sin")
    trial = stage.study.ask()  # and then nothing more is heard of it
    theta = stage.suggest(trial)
    images = gone.task.painter.paint((0, 0), theta, callback=int)
    trial.set_user_attr("set 0", gone.task.meter(images, None).as_list())
    assert gone.ladder.remaining(stage) == gone.ladder.budget(stage) - 1
    assert stage.count("RUNNING") == 1
    time.sleep(1.2)
    other = Learning(
        toy_task(sets=SETS, candidates=11, log=log),
        open_storage(path, HEARTBEAT, grace=1),
        "shared",
    )
    seen = other.open_stage("sin")
    assert other.ladder.remaining(seen) == other.ladder.budget(seen) and seen.count("RUNNING") == 0
    other.run()
    places = [
        place
        for _, place, thetas in measured(log)
        if thetas == tuple(round(v, 6) for v in theta.values(8))
    ]
    assert sorted(places) == [1, 2, 3]  # set 0 was measured by the one that fell silent


@pytest.fixture
def postgres(tmp_path_factory):
    """The URL of a real PostgreSQL server, as Debian installs it."""
    pytest.importorskip("psycopg", reason="needs the package psycopg")
    tools = {
        name: next((b / name for b in BINARIES if (b / name).exists()), None)
        for name in ("initdb", "postgres")
    }
    if not all(tools.values()):
        pytest.skip("PostgreSQL is not installed (apt-get install postgresql)")
    folder = Path(tempfile.mkdtemp(prefix="coupled-pg-"))
    user = {}
    if os.geteuid() == 0:  # which PostgreSQL does not run as
        shutil.chown(folder, "postgres", "postgres")
        user = {"user": "postgres", "group": "postgres"}
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    data = folder / "data"
    subprocess.run(
        [tools["initdb"], "-D", data, "-U", "coupled", "--auth=trust", "--no-sync"],
        check=True,
        capture_output=True,
        cwd=folder,
        **user,
    )
    server = subprocess.Popen(
        [tools["postgres"], "-D", data, "-h", "127.0.0.1", "-p", str(port), "-k", folder, "-F"],
        stderr=subprocess.DEVNULL,
        cwd=folder,
        **user,
    )
    try:
        wait_until(
            lambda: (
                (data / "postmaster.pid").exists()
                and "ready" in (data / "postmaster.pid").read_text()
            )
        )
        yield f"postgresql://coupled:secret@127.0.0.1:{port}/postgres"
    finally:
        server.send_signal(signal.SIGINT)
        server.wait(timeout=30)
        shutil.rmtree(folder, ignore_errors=True)


def test_workers_on_a_real_postgresql(postgres, tmp_path):
    share_a_study(postgres, tmp_path)


# --- addresses ---


def test_addresses(tmp_path):
    assert (
        find_address("postgresql://a:b@c/d")
        == find_address("postgres://a:b@c/d")
        == "postgresql+psycopg://a:b@c/d"
    )
    assert find_address("mysql://a:b@c/d") == "mysql+pymysql://a:b@c/d"
    assert find_address("postgresql+pg8000://c/d") == "postgresql+pg8000://c/d"
    assert (
        find_address(tmp_path / "new" / "x.db") == f"sqlite:///{tmp_path}/new/x.db"
        and (tmp_path / "new").is_dir()
    )
    assert find_address(tmp_path / "x.journal") == f"{tmp_path}/x.journal"


def test_a_password_is_never_shown():
    with pytest.raises(ValueError, match="cannot be opened") as caught:
        open_storage("postgresql://me:hunter2@127.0.0.1:9/nothing")
    assert "hunter2" not in str(caught.value) and hide_password("x://me:p@h") == "x://me:…@h"
    assert hide_password("x://me:p@ss@h") == "x://me:…@h" and caught.value.__suppress_context__


def test_an_unknown_kind_of_address_is_told():
    with pytest.raises(ValueError, match="cannot be opened"):
        open_storage("nosuch://place")


def test_a_retried_candidate_is_alive_from_its_second_start():
    old = create_trial(state=TrialState.COMPLETE, value=0.0, system_attrs={"alive": 5.0})
    assert last_sign(old) == old.datetime_start.timestamp() > 5.0
