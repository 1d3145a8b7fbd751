"""The marks that choose tests: what a test needs, and the oldest ComfyUI that it can run on.

conftest.py takes the hook from here, so that it can be tried without a host.
"""

import pytest

from devtools.environment import host_version

from paths import HOST

# What asks for one of these fixtures needs what it stands for.
NEEDS = {
    "host_server": "server",
    "tiny_server": "server",
    "postgres": "server",
    "served": "server",
    "chromium": "browser",
}
# Templates with nodes of the host that came after the oldest host.
NEWER_TEMPLATES = {
    "coupled_measure_flux_dev": pytest.mark.needs_host("0.24", "the node Remove Background"),
}


@pytest.hookimpl(tryfirst=True)  # before pytest's own, which chooses by marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    version = host_version(HOST)
    for item in items:
        _mark_needs(item)
        _leave_out(item, version)


def _mark_needs(item: pytest.Item) -> None:
    for fixture in getattr(item, "fixturenames", []):
        if fixture in NEEDS:
            item.add_marker(NEEDS[fixture])


def _leave_out(item: pytest.Item, version: tuple[int, ...]) -> None:
    """Skips a test that needs a newer ComfyUI, with the reason in pytest's summary; of a test with
    parameters, those that the mark's `only` names.
    """
    for mark in item.iter_markers("needs_host"):
        oldest, why = mark.args
        if mark.kwargs.get("only", "") in item.name and version < tuple(
            map(int, oldest.split("."))
        ):
            this = ".".join(map(str, version))
            reason = f"needs ComfyUI {oldest} or newer, this is {this}: {why}"
            item.add_marker(pytest.mark.skip(reason=reason))
