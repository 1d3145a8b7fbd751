"""The Python of a site: its virtual environment, pip in it, and the packages that must fit torch.

Standard library only.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from .hosts import Site
from .stream import stream

OPERATORS = Path(__file__).with_name("torchvision_operators.py")


def make_venv(site: Site) -> None:
    """Made anew: a half-made environment cannot be mended."""
    stream([sys.executable, "-m", "venv", "--clear", site.venv])


def fit_to_torch(site: Site) -> None:
    """Makes torchvision and torchaudio import beside a CPU-only torch, where pip may know only
    their CUDA builds.
    """
    cpu_only = not _python(
        site, "import torch; print(torch.version.cuda or torch.version.hip or '')"
    ).strip()
    if cpu_only and not _imports(site, "torchvision"):
        folder = _site_packages(site)
        shutil.copyfile(OPERATORS, folder / "coupled_torchvision.py")
        (folder / "coupled_torchvision.pth").write_text("import coupled_torchvision\n")
    if cpu_only and not _imports(site, "torchaudio"):
        for library in (_site_packages(site) / "torchaudio" / "lib").glob("*.so"):
            # CUDA code; torchaudio does without when it is absent, not when it fails to load
            library.unlink()
    _python(site, "import torchvision, torchaudio")


def _imports(site: Site, module: str) -> bool:
    found = subprocess.run(
        [site.python, "-c", f"import {module}"], capture_output=True, check=False
    )
    return found.returncode == 0


def _site_packages(site: Site) -> Path:
    return Path(_python(site, "import sysconfig; print(sysconfig.get_path('purelib'))").strip())


def _python(site: Site, code: str) -> str:
    return stream([site.python, "-c", code])


def pip(site: Site, *arguments: object) -> None:
    stream([site.python, "-m", "pip", "--disable-pip-version-check", *arguments])
