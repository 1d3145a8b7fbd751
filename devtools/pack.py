"""The pack as the package `coupled` beside the host's modules, for tests and benchmarks outside the
server.

The pack's root holds folders called `nodes` and `tests`, which would shadow the host's `nodes.py`
when the root is on
`sys.path`; so the root is taken off and an alias package takes its place.
"""

import sys
import types
from pathlib import Path

from .environment import ROOT


def load_host(host: Path) -> None:
    """The pack and the host for a command: with the folders of models in the user's
    extra_model_paths.yaml, without the host's progress bars.
    """
    load_pack(host)
    import comfy.utils

    comfy.utils.set_progress_bar_enabled(False)
    extra = host / "extra_model_paths.yaml"
    if extra.is_file():
        from utils.extra_config import load_extra_path_config

        load_extra_path_config(str(extra))


def load_pack(host: Path, cpu: bool = False) -> None:
    """Make `comfy` and `coupled` importable; the host is in CPU mode when asked for or when there
    is no GPU.
    """
    sys.path[:] = [p for p in sys.path if Path(p or ".").resolve() != ROOT]
    sys.path.insert(0, str(host))
    pack = types.ModuleType("coupled")
    pack.__path__ = [str(ROOT)]
    sys.modules["coupled"] = pack
    import torch
    from comfy.cli_args import args

    args.cpu = cpu or not torch.cuda.is_available()
