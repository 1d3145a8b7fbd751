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
