"""Puts the host on the path (CPU mode) and the pack under the package name `coupled`.

The pack's root holds folders called `nodes` and `tests`, which would shadow the host's `nodes.py`
when the root is on `sys.path`; so the root is taken off and an alias package takes its place.
"""

import os
import sys
import types
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
HOST = Path(os.environ.get("COMFYUI_PATH") or ROOT / ".host" / "ComfyUI")

sys.path[:] = [p for p in sys.path if Path(p or ".").resolve() != ROOT]
sys.path.insert(0, str(HOST))
sys.path.insert(0, str(Path(__file__).parent))

pack = types.ModuleType("coupled")
pack.__path__ = [str(ROOT)]
sys.modules["coupled"] = pack

from comfy.cli_args import args  # noqa: E402

args.cpu = True


@pytest.fixture(scope="session")
def host_server(tmp_path_factory):
    """One real ComfyUI server for the whole run, with the pack loaded: `.url`, `.log`, `.client.queue(prompt)`."""
    from coupled.devtools.client import Client
    from coupled.devtools.environment import Environment
    from coupled.devtools.host import HostServer

    flags = ("--cpu", "--disable-api-nodes", "--preview-method", "latent2rgb")
    environment = Environment(Path(sys.executable), HOST)
    with HostServer(environment, tmp_path_factory.mktemp("host"), *flags) as server:
        server.client = Client(server.url)
        yield server
