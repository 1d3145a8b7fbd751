"""Where Python and ComfyUI are: the user's own ComfyUI (`COMFYUI_PATH`), or the one that set-up
installs.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
HOST = ROOT / ".host" / "ComfyUI"
OUTPUT = ROOT / "output"
OLDEST_HOST = (0, 20, 1)
NEEDED = ("torch", "aiohttp", "PIL")


@dataclass(frozen=True)
class Environment:
    """A Python that can run the host, and the host's folder."""

    python: Path
    host: Path


class SetupError(RuntimeError):
    """A step that failed: which one, why, and what the user can do about it."""

    def __init__(self, step: str, why: str, advice: str):
        super().__init__(f"{step}: {why}")
        self.step, self.why, self.advice = step, why, advice


def venv_python(folder: Path) -> Path:
    """The interpreter of a virtual environment, which Windows keeps elsewhere."""
    return folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def users_environment(folder: str) -> Environment:
    """The user's own ComfyUI, checked but never changed. SetupError says what is missing."""
    host = Path(folder).expanduser().resolve()
    if not (host / "main.py").is_file() or not (host / "comfy").is_dir():
        raise SetupError(
            "COMFYUI_PATH",
            f"{host} is not a ComfyUI folder (no main.py and comfy/ in it).",
            "Set COMFYUI_PATH to the folder that holds ComfyUI's main.py, or unset it to have one"
            " installed here.",
        )
    version = host_version(host)
    if version < OLDEST_HOST:
        raise SetupError(
            "COMFYUI_PATH",
            f"ComfyUI {_dotted(version)} in {host} is too old; Coupled needs {_dotted(OLDEST_HOST)}"
            " or newer.",
            "Update that ComfyUI, or unset COMFYUI_PATH to have one installed here.",
        )
    return Environment(_users_python(host), host)


def host_version(host: Path) -> tuple[int, ...]:
    """(major, minor, patch) as ComfyUI's `comfyui_version.py` states it; (0, 0, 0) when it has
    none.
    """
    file = host / "comfyui_version.py"
    found = (
        re.search(r'__version__ = "(\d+)\.(\d+)\.(\d+)', file.read_text())
        if file.is_file()
        else None
    )
    return tuple(int(part) for part in found.groups()) if found else (0, 0, 0)


def _users_python(host: Path) -> Path:
    chosen = os.environ.get("COMFYUI_PYTHON")
    beside = [
        venv_python(folder) for folder in (host / ".venv", host / "venv", host.parent / "venv")
    ]
    portable = (
        host.parent / "python_embeded" / "python.exe"
    )  # the folder's name in the portable Windows build
    candidates = [Path(chosen)] if chosen else [Path(sys.executable), *beside, portable]
    missing: list[str] = []
    for python in filter(Path.is_file, candidates):
        missing = lacks(python, NEEDED)
        if not missing:
            return python
    raise SetupError(
        "COMFYUI_PYTHON",
        f"no Python that can run {host} was found. Tried: {', '.join(map(str, candidates))}"
        + (f" (the last one that exists lacks {', '.join(missing)})." if missing else "."),
        "Set COMFYUI_PYTHON to the Python that you start ComfyUI with.",
    )


def lacks(python: Path, modules: tuple[str, ...]) -> list[str]:
    """Those of `modules` that `python` does not have; they are looked up, not imported."""
    code = (
        "import sys; from importlib.util import find_spec as f; print(*[m for m in sys.argv[1:] if"
        " not f(m)])"
    )
    try:
        found = subprocess.run(
            [python, "-c", code, *modules], capture_output=True, text=True, check=False
        )
    except OSError:  # a file that is no program
        return list(modules)
    return found.stdout.split() if found.returncode == 0 else list(modules)


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))
