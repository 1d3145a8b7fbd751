"""Packages that only some nodes need."""

import importlib
from typing import Any


def require(module: str, package: str, needed_by: str) -> Any:
    """The module, imported. ImportError that says what to install, `package` for pip."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(
            f"{needed_by} needs the package {package.split()[0]}: pip install {package} in"
            " ComfyUI's environment."
        ) from error
