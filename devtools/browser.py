"""The Chromium that the browser tests drive: the machine's own, or one that set-up gets.

Standard library only.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from .environment import HOST, VENV, Environment, venv_python
from .stream import stream

NAMES = ("chromium", "google-chrome", "google-chrome-stable", "chromium-browser")
DOWNLOADS = HOST.parent / "browsers"  # where Playwright puts a Chromium of its own
ADVICE = (
    "Install Chromium (Debian and Ubuntu: sudo apt update && sudo apt install chromium libatomic1);"
    " without it the browser tests are skipped."
)


def find_browser() -> Path | None:
    """A Chromium on the PATH, or the one that set-up downloaded; None without either."""
    named = (shutil.which(name) for name in NAMES)
    downloaded = sorted(DOWNLOADS.glob("chromium-*/*/chrome*"))
    bundled = sorted(DOWNLOADS.glob("chromium-*/*/*.app/Contents/MacOS/*"))
    programs = [
        *filter(None, named),
        *(path for path in downloaded if path.name in ("chrome", "chrome.exe")),
        *bundled,
    ]
    return Path(programs[0]) if programs else None


def provide_browser(environment: Environment) -> None:
    """Downloads a Chromium where there is still none after the system's packages.

    It is only for tests, so a failure is said and does not stop them.
    """
    if find_browser() or environment.python != venv_python(VENV):
        return
    command, variables = _installer()
    print(
        f"No Chromium for the browser tests; running: {' '.join(map(str, command))} …", flush=True
    )
    try:
        said = stream(command, **variables)
    except (OSError, subprocess.CalledProcessError) as error:
        said = getattr(error, "output", None) or str(error)
    if not find_browser():
        print(f"{said.strip()[-400:]}\n{ADVICE}", flush=True)


def _installer() -> tuple[list, dict[str, str]]:
    """Playwright's download, which needs no root."""
    download = [venv_python(VENV), "-m", "playwright", "install", "chromium"]
    return download, {"PLAYWRIGHT_BROWSERS_PATH": str(DOWNLOADS)}
