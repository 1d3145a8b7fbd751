"""The system's packages that tests and training need: one table, and one call of apt-get for those
that are missing. Standard library only.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from .browser import find_browser
from .environment import SetupError
from .stream import stream

CLUSTERS = Path("/usr/lib/postgresql")  # where Debian keeps the server's programs, by version


def find_atomic() -> bool:
    """Whether Playwright's driver can load the library; only its build for Linux needs it."""
    if sys.platform != "linux":
        return True
    try:
        ctypes.CDLL("libatomic.so.1")
    except OSError:
        return False
    return True


def find_postgres() -> bool:
    return bool(shutil.which("initdb") or list(CLUSTERS.glob("*/bin/initdb")))


@dataclass(frozen=True)
class Package:
    """A package of Debian and Ubuntu: what it is for, how to find what it brings, its size with all
    that it draws in, and the commands of dev.py that need it.
    """

    name: str
    purpose: str
    find: Callable[[], object]
    megabytes: int
    commands: tuple[str, ...] = ("test",)


PACKAGES = (
    Package("chromium", "the browser tests", find_browser, 720),
    Package("libatomic1", "the browser tests' driver", find_atomic, 1),
    Package("postgresql", "the test of workers on one database", find_postgres, 205),
)


def will_install(command: str) -> bool:
    """Whether packages are missing and may be installed. For a user's own ComfyUI none are."""
    return bool(_missing(command) and _apt_get() and not os.environ.get("COMFYUI_PATH"))


def provide_packages(command: str) -> None:
    """Installs what `command` needs and the system lacks, or says what that is."""
    if will_install(command):
        _install(_missing(command))
    if missing := _missing(command):
        print(
            "System packages are missing, and what needs them is skipped or fails:"
            f" {_purposes(missing)}.\n{advice(missing)}\n",
            flush=True,
        )


def require_packages(command: str) -> None:
    """SetupError in CI for what is still missing: tests would be skipped where nobody looks."""
    if (missing := _missing(command)) and _in_ci():
        raise SetupError("system packages", f"Missing: {_purposes(missing)}.", advice(missing))


def advice(packages: list[Package]) -> str:
    """How to install them, as one line to copy."""
    names = " ".join(package.name for package in packages)
    install = f"sudo apt-get update && sudo apt-get install -y --no-install-recommends {names}"
    return f"On Debian and Ubuntu this line installs them:\n    {install}"


def _missing(command: str) -> list[Package]:
    return [package for package in PACKAGES if command in package.commands and not package.find()]


def _purposes(packages: list[Package]) -> str:
    return "; ".join(f"{package.name} ({package.purpose})" for package in packages)


def _in_ci() -> bool:
    return os.environ.get("CI", "").lower() in ("true", "1")


def _apt_get() -> list[str]:
    """apt-get as this user may run it; empty where he may not.

    A CI's user becomes root by sudo; a person at his own machine is asked first, so is not root.
    """
    if not shutil.which("apt-get"):
        return []
    if os.geteuid() == 0:
        return ["apt-get"]
    return ["sudo", "-n", "apt-get"] if _in_ci() and shutil.which("sudo") else []


def _install(packages: list[Package]) -> None:
    size = sum(package.megabytes for package in packages)
    print(
        f"Installing system packages, about {size} MB on disk: {_purposes(packages)} …", flush=True
    )
    quiet = {"DEBIAN_FRONTEND": "noninteractive"}
    try:
        stream([*_apt_get(), "update"], **quiet)
        names = [package.name for package in packages if _is_known(package.name)]
        stream([*_apt_get(), "install", "-y", "--no-install-recommends", *names], **quiet)
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"{getattr(error, 'output', error)}", flush=True)


def _is_known(name: str) -> bool:
    """Whether the system has a package of this name: Ubuntu has no chromium, and one unknown name
    would keep apt-get from installing the others.
    """
    found = subprocess.run(["apt-cache", "show", name], capture_output=True, check=False)
    return found.returncode == 0
