"""The system's packages that the tests need: what is missing is installed in one call, or told."""

import os
import stat
import sys
from pathlib import Path

import pytest

from coupled.devtools import system
from coupled.devtools.environment import SetupError

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="shell scripts stand for apt-get")


class Machine:
    """A Debian whose apt-get and sudo write down how they were called, and which lacks `names`."""

    def __init__(self, folder: Path, monkeypatch, names: tuple[str, ...]):
        self.folder, self.log = folder, folder / "log"
        self.log.touch()
        packages = [system.Package(name, f"use of {name}", self.finder(name), 10) for name in names]
        monkeypatch.setattr(system, "PACKAGES", tuple(packages))
        monkeypatch.setenv("PATH", f"{folder}{os.pathsep}/bin:/usr/bin")
        self.program("apt-get", 'for name; do touch "$(dirname "$0")/has-$name"; done')
        self.program("sudo", 'shift; exec "$@"')
        self.program("apt-cache", '[ "$2" != unknown ]', log=False)

    def finder(self, name: str):
        return (self.folder / f"has-{name}").exists

    def program(self, name: str, code: str, log: bool = True) -> None:
        file = self.folder / name
        note = f'echo "{name} $*" >> "{self.log}"\n' if log else ""
        file.write_text(f"#!/bin/sh\n{note}{code}\n")
        file.chmod(file.stat().st_mode | stat.S_IEXEC)

    @property
    def calls(self) -> list[str]:
        return self.log.read_text().splitlines()


@pytest.fixture
def machine(tmp_path, monkeypatch) -> Machine:
    monkeypatch.delenv("COMFYUI_PATH", raising=False)
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setattr(system.os, "geteuid", lambda: 0)
    return Machine(tmp_path, monkeypatch, ("browser", "font"))


@pytest.fixture
def no_root(monkeypatch):
    monkeypatch.setattr(system.os, "geteuid", lambda: 1000)


INSTALL = "apt-get install -y --no-install-recommends browser font"
LINE = f"sudo apt-get update && sudo {INSTALL}"


def test_root_gets_all_in_one_call_after_an_update_and_only_once(machine, capsys):
    system.provide_packages("test")
    assert machine.calls == ["apt-get update", INSTALL]
    said = capsys.readouterr().out
    assert "browser (use of browser); font (use of font)" in said and "20 MB" in said
    system.provide_packages("test")
    assert len(machine.calls) == 2 and capsys.readouterr().out == ""


def test_only_what_is_missing_is_installed(machine):
    (machine.folder / "has-browser").touch()
    system.provide_packages("test")
    assert machine.calls[1:] == ["apt-get install -y --no-install-recommends font"]


def test_a_package_that_the_system_does_not_know_keeps_none_out(tmp_path, machine, monkeypatch):
    known = Machine(tmp_path, monkeypatch, ("unknown", "font"))
    system.provide_packages("test")
    assert known.calls[1:] == ["apt-get install -y --no-install-recommends font"]


def test_without_root_one_line_says_how_to_get_them(machine, no_root, capsys):
    system.provide_packages("test")
    assert machine.calls == []
    said = capsys.readouterr().out
    assert "browser (use of browser); font (use of font)" in said
    assert f"\n    {LINE}\n" in said
    system.require_packages("test")  # no error outside of CI


def test_a_failed_installation_is_told_and_stops_nothing(machine, capsys):
    machine.program("apt-get", "echo no network; exit 100")
    system.provide_packages("test")
    said = capsys.readouterr().out
    assert "no network" in said and LINE in said


def test_ci_becomes_root_by_sudo(machine, no_root, monkeypatch):
    monkeypatch.setenv("CI", "true")
    system.provide_packages("test")
    assert [call for call in machine.calls if call.startswith("sudo")] == [
        "sudo -n apt-get update",
        f"sudo -n {INSTALL}",
    ]
    system.require_packages("test")


def test_ci_fails_where_something_is_missing_still(machine, no_root, monkeypatch):
    monkeypatch.setenv("CI", "true")
    machine.program("sudo", "exit 1")
    system.provide_packages("test")
    with pytest.raises(SetupError, match="browser.*font") as caught:
        system.require_packages("test")
    assert LINE in caught.value.advice


def test_nothing_is_installed_beside_a_users_own_comfyui(machine, monkeypatch, capsys):
    monkeypatch.setenv("COMFYUI_PATH", "/somewhere")
    system.provide_packages("test")
    assert machine.calls == [] and LINE in capsys.readouterr().out


def test_only_the_tests_need_system_packages():
    assert {command for package in system.PACKAGES for command in package.commands} == {"test"}


def test_postgresql_is_found_on_the_path_and_where_debian_puts_it(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr(system, "CLUSTERS", tmp_path / "lib")
    assert not system.find_postgres()
    for program in (tmp_path / "bin" / "initdb", tmp_path / "lib" / "15" / "bin" / "initdb"):
        program.parent.mkdir(parents=True)
        program.touch(0o755)
        assert system.find_postgres()
        program.unlink()
