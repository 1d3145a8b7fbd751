"""How set-up finds and gets the Chromium of the browser tests."""

import sys
from pathlib import Path

import pytest

from coupled.devtools import browser
from coupled.devtools.environment import HOST, VENV, Environment, venv_python

OWN = Environment(venv_python(VENV), HOST)


@pytest.fixture
def bare(tmp_path, monkeypatch) -> Path:
    """A machine without a Chromium; the folder of downloads is the one returned."""
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    monkeypatch.setattr(browser, "DOWNLOADS", tmp_path / "browsers")
    return tmp_path / "browsers"


def script(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_a_download_is_found_after_the_path(bare, monkeypatch):
    assert browser.find_browser() is None
    program = bare / "chromium-1255" / "chrome-linux64" / "chrome"
    program.parent.mkdir(parents=True)
    program.with_name("chrome_crashpad_handler").touch()
    program.touch()
    assert browser.find_browser() == program
    named = bare.parent / "nothing" / "chromium"
    named.parent.mkdir()
    named.touch(0o755)
    assert browser.find_browser() == named


def test_a_download_for_macos_is_found(bare):
    program = (
        bare / "chromium-1255" / "chrome-mac" / "Chromium.app" / "Contents" / "MacOS" / "Chromium"
    )
    program.parent.mkdir(parents=True)
    program.touch()
    assert browser.find_browser() == program


def test_a_browser_that_can_not_be_had_stops_nothing_and_says_what_to_do(bare, monkeypatch, capsys):
    monkeypatch.setattr(
        browser, "_installer", lambda: (script("import sys; sys.exit('no network')"), {})
    )
    browser.provide_browser(OWN)
    said = capsys.readouterr().out
    assert "no network" in said and "apt install chromium" in said


def test_a_browser_is_got_where_there_is_none(bare, monkeypatch, capsys):
    code = (
        "import os, pathlib; p = pathlib.Path(os.environ['INTO'], 'chromium-1', 'x');"
        " p.mkdir(parents=True); (p / 'chrome').touch()"
    )
    monkeypatch.setattr(browser, "_installer", lambda: (script(code), {"INTO": str(bare)}))
    browser.provide_browser(OWN)
    assert browser.find_browser() is not None and browser.ADVICE not in capsys.readouterr().out
    monkeypatch.setattr(browser, "_installer", lambda: pytest.fail("there is one already"))
    browser.provide_browser(OWN)


def test_nothing_is_installed_for_a_users_own_comfyui(bare, monkeypatch):
    monkeypatch.setattr(browser, "_installer", lambda: pytest.fail("must not install"))
    browser.provide_browser(Environment(Path("/usr/bin/python3"), HOST))
