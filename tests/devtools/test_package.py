"""What people install: the registry's metadata, the files that are uploaded, and that the pack runs
on those alone.
"""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.request import urlopen

import pytest
import yaml
from PIL import Image, ImageChops, ImageStat

from coupled.devtools import cards, host
from coupled.devtools.client import Client
from coupled.devtools.environment import OLDEST_HOST, Environment
from coupled.mini.size import SIZE

from paths import HOST, ROOT

NOT_OURS = (
    ".git",
    ".venv",
    ".host",
    ".work",
    "output",
    "__pycache__",
    ".pytest_cache",
    ".ruff_cache",
    "shared",
)
LARGEST = 32_000_000  # bytes of the upload; the mini model is most of it
RENEW = ".venv/bin/python -m devtools.cards"

SMALL_RUN = {
    "load": ("CoupledLoadMini", {}),
    "split": (
        "CoupledSplitPrompts",
        {"prompts": "A red fox runs in a meadow.\nAn eagle soars in a meadow.", "method": "rules"},
    ),
    "encode": (
        "CoupledTextEncode",
        {
            "clip": ["load", 1],
            "background": ["split", 0],
            "entities": ["split", 1],
            "guidance": 3.5,
            "entity_text": "entity",
        },
    ),
    "theta": (
        "CoupledThetaSchedule",
        {"shape": "sin", "shape.center": 12, "shape.k": 0.8, "reference_steps": 50},
    ),
    "patch": ("CoupledModelPatch", {"model": ["load", 0], "theta": ["theta", 0], "mode": "exact"}),
    "latent": ("EmptySD3LatentImage", {"width": SIZE, "height": SIZE, "batch_size": 1}),
    "sample": (
        "CoupledSampler",
        {
            "model": ["patch", 0],
            "positive": ["encode", 0],
            "latent_image": ["latent", 0],
            "seed": 1,
            "steps": 2,
            "sampler_name": "euler",
            "scheduler": "simple",
            "denoise": 1.0,
            "images_per_pass": 0,
        },
    ),
    "decode": ("VAEDecode", {"samples": ["sample", 0], "vae": ["load", 2]}),
    "segment": ("CoupledSegmentEntities", {"images": ["decode", 0], "segmenter": "mini"}),
    "background": (
        "CoupledBackgroundSimilarity",
        {"images": ["decode", 0], "entity_masks": ["segment", 0]},
    ),
    "plot": ("CoupledThetaPlot", {"theta": ["theta", 0], "steps": 2}),
    "save": ("SaveImage", {"images": ["decode", 0], "filename_prefix": "installed"}),
}


def ignored() -> list[str]:
    """The paths that the registry's download leaves out, from the root."""
    lines = (ROOT / ".comfyignore").read_text().splitlines()
    return [
        line.strip().removeprefix("/")
        for line in lines
        if line.strip() and not line.startswith("#")
    ]


def uploaded() -> list[Path]:
    """The files of the upload: those of the repository, without what .comfyignore names."""
    left_out = [ROOT / name for name in ignored()]
    files = []
    for folder, folders, names in os.walk(ROOT):
        here = Path(folder)
        folders[:] = [
            name for name in folders if name not in NOT_OURS and here / name not in left_out
        ]
        files += [here / name for name in names if here / name not in left_out]
    return files


def metadata() -> dict:
    toml = pytest.importorskip("tomllib", reason="needs Python 3.11")
    return toml.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def test_metadata_is_what_the_registry_asks_for():
    project, comfy = metadata()["project"], metadata()["tool"]["comfy"]
    assert (
        re.fullmatch(r"[a-z][a-z0-9]*([-_.][a-z0-9]+)*", project["name"])
        and "comfy" not in project["name"]
    )
    assert re.fullmatch(r"\d+\.\d+\.\d+", project["version"])
    assert 20 < len(project["description"]) < 200 and comfy["DisplayName"] and comfy["PublisherId"]
    assert (ROOT / project["readme"]).is_file() and "MIT License" in (
        ROOT / project["license"]["file"]
    ).read_text()
    assert "License :: OSI Approved :: MIT License" in project["classifiers"]
    assert [c for c in project["classifiers"] if c.startswith("Operating System")] == [
        "Operating System :: OS Independent"
    ]


def test_nothing_is_installed_beside_the_pack():
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    assert (
        metadata()["project"]["dependencies"]
        == [line for line in lines if line.split("#")[0].strip()]
        == []
    )


def test_the_oldest_host_is_the_same_everywhere():
    oldest = ".".join(map(str, OLDEST_HOST))
    assert metadata()["tool"]["comfy"]["requires-comfyui"] == f">={oldest}"
    assert f"ComfyUI {oldest.removesuffix('.0')} or newer" in (ROOT / "README.md").read_text(
        encoding="utf-8"
    )


def jobs() -> dict:
    return yaml.safe_load((ROOT / ".github/workflows/publish.yml").read_text())["jobs"]


def test_publishing_needs_the_tests():
    publishing = [name for name, job in jobs().items() if "comfy node publish" in str(job)]
    assert publishing == ["publish"] and jobs()["publish"]["needs"] == "test"
    assert ".ci/run" in [step.get("run") for step in jobs()["test"]["steps"]]
    assert "if" not in jobs()["test"] and "continue-on-error" not in str(jobs())


@pytest.mark.skipif(sys.platform != "linux", reason="the publishing machine's own sed")
def test_publishing_fills_in_the_addresses(tmp_path):
    toml = pytest.importorskip("tomllib", reason="needs Python 3.11")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (step,) = [
        step for step in jobs()["publish"]["steps"] if "pyproject.toml" in step.get("run", "")
    ]
    where = {
        "GITHUB_SERVER_URL": "https://github.com",
        "GITHUB_REPOSITORY": "me/coupled",
        "GITHUB_SHA": "abc123",
    }
    subprocess.run(
        ["bash", "-e", "-c", step["run"]], cwd=tmp_path, env={**os.environ, **where}, check=True
    )
    filled = toml.loads((tmp_path / "pyproject.toml").read_text(encoding="utf-8"))
    assert filled["project"].pop("urls") == {"Repository": "https://github.com/me/coupled"}
    icon = filled["tool"]["comfy"].pop("Icon")
    assert icon.startswith("https://raw.githubusercontent.com/me/coupled/abc123/")
    assert (ROOT / icon.split("abc123/")[1]).is_file() and filled == metadata()


def test_the_icon_is_one_that_the_registry_takes():
    icon = Image.open(cards.ICON)
    assert icon.format == "PNG" and icon.width == icon.height <= 400


def test_what_is_left_out_exists_and_is_named_plainly():
    assert (
        ignored()
        and [name for name in ignored() if not (ROOT / name).exists() or set(name) & set("*?[!")]
        == []
    )


def test_the_upload_is_small_and_holds_what_the_page_reads():
    files = {path.relative_to(ROOT).as_posix() for path in uploaded()}
    assert sum((ROOT / name).stat().st_size for name in files) < LARGEST
    assert {"__init__.py", "pyproject.toml", "README.md", "LICENSE", "requirements.txt"} <= files
    for folder in ("web", "locales", "subgraphs", "example_workflows"):
        kept = {
            path.relative_to(ROOT).as_posix()
            for path in (ROOT / folder).rglob("*")
            if path.is_file()
        }
        assert kept and kept <= files, folder
    assert {path.split("/")[0] for path in files}.isdisjoint(
        {"tests", "benchmarks", "devtools", ".ci", ".github"}
    )


def test_no_file_of_the_upload_imports_one_that_is_left_out():
    """Most imports wait until a node runs; this reads them all."""
    kept = set(uploaded())
    lost = [
        f"{path.relative_to(ROOT)}: {name}"
        for path in kept
        if path.suffix == ".py"
        for name, target in own_imports(path)
        if not {target.with_suffix(".py"), target / "__init__.py"} & kept
    ]
    assert not lost


def own_imports(path: Path) -> list[tuple[str, Path]]:
    """(module, its file or folder) of each relative import; of `from . import x` x itself, when it
    is a module.
    """
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = path.parents[node.level - 1].joinpath(*(node.module or "").split("."))
            names = [alias.name for alias in node.names if node.module is None]
            found += [(name, base / name) for name in names] or [(node.module, base)]
    return found


def test_the_upload_alone_loads_in_the_host_and_runs(host_server, tmp_path, monkeypatch):
    pack = tmp_path / "upload"
    for path in uploaded():
        target = pack / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    monkeypatch.setattr(host, "ROOT", pack)  # the server gets a link to the copy
    environment = Environment(Path(sys.executable), HOST)
    with host.HostServer(environment, tmp_path / "host", "--cpu", "--disable-api-nodes") as server:
        client = Client(server.url)
        assert named(client) == named(host_server.client)
        assert set(client.get("/i18n")) >= {"en", "ja", "zh"}
        prompt = {
            key: {"class_type": kind, "inputs": inputs} for key, (kind, inputs) in SMALL_RUN.items()
        }
        outputs = client.queue(prompt)
    assert (
        len(outputs["save"]["images"]) == 2
        and outputs["background"]["text"]
        and outputs["plot"]["images"]
    )
    assert "Traceback" not in server.log, server.tail(60)


def named(client: Client) -> set[str]:
    return {name for name in client.object_info() if name.startswith("Coupled")}


def test_the_architecture_page_speaks_of_every_room_and_of_nothing_that_is_gone():
    page = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    named = [name for name in re.findall(r"`([\w./*-]+)`", page) if "/" in name]
    assert [name for name in named if not list(ROOT.glob(name.rstrip("/")))] == []
    rooms = {
        path.parent.name
        for path in uploaded()
        if path.name == "__init__.py" and path.parent.parent == ROOT
    }
    assert rooms <= {name.rstrip("/") for name in named}
    assert (ROOT / "docs/architecture.svg").is_file() and "(architecture.svg)" in page


@pytest.mark.parametrize("path", sorted(cards.WORKFLOWS.glob("*.json")), ids=lambda path: path.stem)
def test_a_workflow_has_its_card_and_the_host_serves_it(path, host_server):
    file = path.with_suffix(".jpg")
    assert file.is_file(), f"The template browser would show no picture. Draw it: {RENEW}"
    with urlopen(f"{host_server.url}/api/workflow_templates/coupled/{file.name}") as answer:
        served = answer.read()
    assert served == file.read_bytes() and len(served) < 60_000
    drawn = cards.draw_cards()[file].convert("RGB")
    apart = ImageStat.Stat(ImageChops.difference(Image.open(file).convert("RGB"), drawn)).mean
    assert max(apart) < 4, f"The workflow or its picture has changed. Draw the card anew: {RENEW}"
    listed = host_server.client.get("/workflow_templates")["coupled"]
    assert path.stem in listed and json.loads(path.read_text())["nodes"]
