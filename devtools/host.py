"""A real ComfyUI server with this pack loaded: started on a free loopback port, and stopped
whatever happens.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Generator
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from .environment import ROOT, Environment

PACK = "coupled"
START_SECONDS = 300
ACCELERATOR = """
import torch
xpu = getattr(torch, "xpu", None)
print(
    torch.cuda.is_available()
    or torch.backends.mps.is_available()
    or bool(xpu and xpu.is_available())
)
"""


class HostError(RuntimeError):
    """The server did not start, refused a prompt, or failed while running one; the message holds
    its own words.
    """


class HostServer:
    """ComfyUI as a child process, a context manager: `with HostServer(environment, base) as server:
    server.url`.

    `base` is the folder that gets custom_nodes (with a link to this pack), input, output, user and
    the log.
    """

    def __init__(self, environment: Environment, base: Path, *options: str, port: int = 0):
        self.environment, self.base, self.options = environment, Path(base), options
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log_file = self.base / "server.log"
        self.process: subprocess.Popen | None = None

    def __enter__(self) -> HostServer:
        self.start()
        return self

    def __exit__(self, *error) -> None:
        self.stop()

    @property
    def log(self) -> str:
        """What the server has printed so far, without colors."""
        text = self.log_file.read_text(errors="replace") if self.log_file.exists() else ""
        return re.sub(r"\x1b\[[0-9;]*m", "", text)

    def command(self) -> list[str]:
        """The command line: only this pack of all custom nodes, and a database that no other server
        holds.
        """
        return [
            *(str(self.environment.python), str(self.environment.host / "main.py")),
            *("--port", str(self.port), "--base-directory", str(self.base)),
            *("--disable-all-custom-nodes", "--whitelist-custom-nodes", PACK),
            *("--database-url", f"sqlite:///{(self.base / 'comfyui.db').as_posix()}"),
            *self.options,
        ]

    def start(self) -> None:
        """Starts the server and returns when it answers; HostError with the tail of its log when it
        does not.
        """
        self.base.mkdir(parents=True, exist_ok=True)
        link_pack(self.base / "custom_nodes")
        with open(self.log_file, "wb") as log:
            self.process = subprocess.Popen(
                self.command(),
                cwd=self.environment.host,
                stdout=log,
                stderr=subprocess.STDOUT,
                **_own_group(),
            )
        try:
            self._wait_until_ready()
        except BaseException:  # an interrupted start must not leave the server behind
            self.stop()
            raise

    def _wait_until_ready(self) -> None:
        assert self.process is not None
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            if self.process.poll() is not None:
                raise HostError(
                    "ComfyUI ended while starting (exit code"
                    f" {self.process.returncode}).\n{self.tail()}"
                )
            if time.monotonic() > deadline:
                raise HostError(f"ComfyUI did not answer within {START_SECONDS} s.\n{self.tail()}")
            time.sleep(0.1)
        if failed := re.search(rf"IMPORT FAILED\): .*[/\\]{PACK}$", self.log, re.MULTILINE):
            said = self.log[: failed.end()].splitlines()[-25:]
            raise HostError(
                "ComfyUI could not load this pack. Its log up to there:\n" + "\n".join(said)
            )

    def _answers(self) -> bool:
        try:
            with urlopen(f"{self.url}/system_stats", timeout=5):
                return True
        except (URLError, OSError):
            return False

    def stop(self) -> None:
        """Ends the server, gently first; does nothing when it is not running."""
        if self.process is None or self.process.poll() is not None:
            return
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def tail(self, lines: int = 25) -> str:
        """The end of the log, to be shown with an error."""
        return "The end of its log:\n" + "\n".join(self.log.splitlines()[-lines:])


def free_port(preferred: int = 0) -> int:
    """`preferred` if nobody holds it on the loopback address, else any free port."""
    with socket.socket() as probe:
        if os.name != "nt":
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", preferred))
        except OSError:
            return free_port()
        return probe.getsockname()[1]


def link_pack(custom_nodes: Path) -> None:
    """Puts this pack into a custom_nodes folder: a link, or a copy where links are not allowed
    (Windows).
    """
    link = custom_nodes / PACK
    custom_nodes.mkdir(parents=True, exist_ok=True)
    if link.is_symlink():
        link.unlink()
    elif link.is_dir():
        shutil.rmtree(link)
    try:
        link.symlink_to(ROOT, target_is_directory=True)
    except OSError:
        shutil.copytree(ROOT, link, ignore=shutil.ignore_patterns(".*", "output", "__pycache__"))


@contextlib.contextmanager
def run_host(environment: Environment, *options: str) -> Generator[HostServer]:
    """A server without nodes of services, on the device that there is; its folder is gone when it
    stops.
    """
    flags = (*device_options(environment), "--disable-api-nodes", *options)
    with (
        tempfile.TemporaryDirectory(prefix="coupled-", ignore_cleanup_errors=True) as base,
        HostServer(environment, Path(base), *flags) as server,
    ):
        yield server


def device_options(environment: Environment) -> list[str]:
    """`--cpu` when torch finds no accelerator: the host does not start on its own there."""
    found = subprocess.run(
        [environment.python, "-c", ACCELERATOR], capture_output=True, text=True, check=False
    )
    if found.returncode:
        raise HostError(
            f"torch cannot be imported by {environment.python}:\n{found.stderr[-1500:]}"
        )
    return [] if found.stdout.strip() == "True" else ["--cpu"]


def stop_on_termination() -> None:
    """Lets Ctrl-C, SIGTERM and a closed terminal all end this process alike, through every
    `finally`.
    """

    def interrupt(*_):
        raise KeyboardInterrupt

    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        if hasattr(signal, name):  # Windows has no SIGHUP
            signal.signal(getattr(signal, name), interrupt)


def _own_group() -> dict:
    """Ctrl-C in the terminal must reach only us, who then stop the server in order."""
    if os.name == "nt":
        return {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
    return {"start_new_session": True}
