"""The host and the pack (as the package `coupled`) for the tests, in CPU mode, and one server for
the whole run.
"""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from paths import HOST, ROOT, TESTS  # noqa: E402

sys.path.insert(0, str(ROOT))
from devtools.pack import load_pack  # noqa: E402

load_pack(HOST, cpu=True)
sys.path.insert(0, str(TESTS))
from markers import pytest_collection_modifyitems  # noqa: E402, F401


def pytest_addoption(parser):
    text = "write the copies of the nodes' schemas anew: locales/en and tests/data/schemas.json"
    parser.addoption("--renew", action="store_true", help=text)


@pytest.fixture(scope="session")
def renew(request) -> bool:
    """Whether the tests of a kept copy should write it anew, after a change that was meant."""
    return request.config.getoption("--renew")


@pytest.fixture(scope="session")
def host_server(tmp_path_factory):
    """One real ComfyUI server for the whole run, with the pack loaded: `.url`, `.log`,
    `.client.queue(prompt)`.
    """
    from coupled.devtools.client import Client
    from coupled.devtools.environment import Environment
    from coupled.devtools.host import HostServer

    flags = ("--cpu", "--disable-api-nodes", "--preview-method", "latent2rgb")
    environment = Environment(Path(sys.executable), HOST)
    with HostServer(environment, tmp_path_factory.mktemp("host"), *flags) as server:
        server.client = Client(server.url)
        yield server
