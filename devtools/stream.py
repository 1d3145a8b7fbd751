"""Runs a long command: its output is kept, what a person wants to know of it is shown as it comes.

Standard library only.
"""

from __future__ import annotations

import os
import queue
import re
import subprocess
import threading
import time
from collections import deque
from collections.abc import Iterator

SILENCE = 10  # seconds without a word before the time is said
SHOWN = (
    *("  Downloading", "Downloading", "Building wheel", "Installing collected"),  # pip
    *("Need to get", "After this operation"),  # apt-get
)


def stream(command: list, **variables: str) -> str:
    """The output of a command; a failure carries its last lines."""
    command = [str(part) for part in command]
    said: deque[str] = deque(maxlen=2000)
    # pip may say what this system's encoding cannot hold
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        text=True,
        errors="replace",
        env=os.environ | variables,
    ) as process:
        for line in _lines(process):
            said.append(line)
    if process.returncode:
        raise subprocess.CalledProcessError(
            process.returncode, command, output="".join(list(said)[-15:])
        )
    return "".join(said)


def _lines(process: subprocess.Popen) -> Iterator[str]:
    """The lines of a process as they come. Some are shown; while none are, the time is."""
    lines: queue.Queue[str | None] = queue.Queue()
    threading.Thread(target=_read, args=(process, lines), daemon=True).start()
    started = shown = time.monotonic()
    while True:
        try:
            line = lines.get(timeout=max(0, shown + SILENCE - time.monotonic()))
        except queue.Empty:
            shown = time.monotonic()
            print(f"      … {shown - started:.0f} s", flush=True)
            continue
        if line is None:
            return
        if line.startswith(SHOWN):
            shown = time.monotonic()
            print(f"      {_shorten(line)}", flush=True)
        yield line


def _read(process: subprocess.Popen, lines: queue.Queue) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        lines.put(line)
    lines.put(None)


def _shorten(line: str) -> str:
    """A line to show: of a wheel's file only its name and version, so that its size is seen."""
    return re.sub(r"(Downloading [^\s-]+-[^\s-]+)\S*\.whl", r"\1", line.strip())[:110]
