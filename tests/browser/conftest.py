"""The page that the browser tests drive, in both of its renderers."""

import pytest

from coupled.devtools.browser import ADVICE, find_browser
from coupled.devtools.canvas import OPTIONS, Canvas


@pytest.fixture(scope="module")  # while it is open, no other test can run an event loop
def chromium():
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="the browser tests need the package playwright"
    )
    if (program := find_browser()) is None:
        pytest.skip(ADVICE)
    with playwright.sync_playwright() as p:
        browser = p.chromium.launch(executable_path=str(program), args=OPTIONS)
        yield browser
        browser.close()


@pytest.fixture(scope="module", params=[False, True], ids=["classic", "nodes2"])
def canvas(request, chromium, host_server):
    canvas = Canvas(chromium, host_server.url, request.param)
    yield canvas
    canvas.page.close()


@pytest.fixture
def laptop(canvas):
    """The page as large as a laptop's."""
    before = canvas.page.viewport_size
    canvas.page.set_viewport_size({"width": 1366, "height": 768})
    canvas.settle(20)
    yield canvas
    canvas.page.set_viewport_size(before)
    canvas.settle(20)


@pytest.fixture(params=["zh", "ja"])
def language(request, canvas):
    """The page in another language than English."""
    canvas.speak(request.param)
    yield request.param
    canvas.speak("en")
