"""docs/models.md says "yes" only where a test covers it, and what is not on it is refused."""

import importlib
import sys

import pytest
from comfy.ldm.chroma_radiance.model import ChromaRadiance
from comfy.ldm.lumina.model import NextDiTPixelSpace
from comfy.ldm.pixart.pixartms import PixArtMS
from comfy.ldm.wan.model import WanModel
from tiny_controls import CONTROLS
from tiny_families import FAMILIES, SDXL

from coupled.attention.families import ARCHITECTURES, architecture_of

from paths import ROOT

# What each column rests on, for every family of tiny_families: tests of test_families, or of the
# module before the dot
COVERED = {
    "modes": "test_one_by_one_is_all_at_once",
    "plate": "test_one_by_one_is_all_at_once",
    "regions alone": "test_the_regions_alone_are_what_whole_pictures_give",
    "CFG": "test_an_uncoupled_negative_is_the_stock_models",
    "LoRA": "test_a_lora_counts",
    "another override": "test_another_override_is_chained",
    "few steps": "test_few_steps.test_the_images_are_one_while_theta_is_0_and_part_then",
    "compile": "test_compile_families.test_compiled_it_gives_the_same",
}
CONTROLNET = "test_controlnet_families.py"
# What rests on tests of its own
OWN = {
    ("Flux.1", "modes"): "test_literal_equations.py",
    ("Flux.1", "plate"): "test_plate.py",
    ("Flux.1", "regions alone"): "test_partly.py",
    ("Flux.1", "CFG"): "test_beside.py",
    ("Flux.1", "LoRA"): "test_beside.py",
    ("Flux.1", "another override"): "test_beside.py",
    ("Flux.1", "few steps"): "test_few_steps.py",
    ("Flux.1", "ControlNet"): "test_beside.py",
    ("Flux.1", "compile"): "test_compile.py",
}
RUN = "../server/test_run_workflows.py"


def read_table():
    lines = (ROOT / "docs" / "models.md").read_text(encoding="utf-8").splitlines()
    rows = [[c.strip() for c in line.strip("|").split("|")] for line in lines if line[:1] == "|"]
    header, _, *rows = rows
    return {row[0]: dict(zip(header[1:], row[1:], strict=True)) for row in rows}


def parameters(name):
    """The names of the families and the modes that a test runs with."""
    *module, name = name.split(".")
    marks = getattr(importlib.import_module(*module or ["test_families"]), name).pytestmark
    return {mark.args[0]: mark.args[1] for mark in marks if mark.name == "parametrize"}


def test_the_table_has_every_family_and_no_other():
    assert list(read_table()) == [architecture.name for architecture in ARCHITECTURES]


def test_each_cell_is_what_the_tests_cover(monkeypatch):
    for room in ("attention", "server"):
        monkeypatch.syspath_prepend(str(ROOT / "tests" / room))
    run = importlib.import_module("test_run_workflows")
    tiny = {one.name for one in FAMILIES}
    positions = {one.name: one.positions for one in ARCHITECTURES}
    for family, cells in read_table().items():
        for column, cell in cells.items():
            if column == "regions alone":
                assert (cell == "yes") == (positions[family] is not None)
                if cell == "no":
                    continue
            own = OWN.get((family, column))
            if column == "template" and family in run.FAMILIES.values():
                own = RUN
            if column == "ControlNet" and family in CONTROLS:
                own = CONTROLNET
            assert own is None or (ROOT / "tests" / "attention" / own).is_file()
            name = COVERED.get(column) if family in tiny else None
            assert name is None or family in {one.name for one in parameters(name)["tiny"]}
            absent = "none" if column in ("ControlNet", "template") else "open"
            assert cell == ("yes" if own or name else absent), (family, column)
    assert set(parameters(COVERED["modes"])["mode"]) == {"exact", "paper", "local"}


@pytest.mark.parametrize(
    "kind",
    [
        ChromaRadiance,
        NextDiTPixelSpace,
        PixArtMS,
        WanModel,
    ],
)
def test_other_families_are_refused_by_name(kind):
    model = kind.__new__(kind)  # its class decides
    with pytest.raises(ValueError, match=f"{kind.__name__}.*works with: Flux.1, Flux.2, Qwen"):
        architecture_of(model)


def test_on_an_older_host_the_families_that_it_lacks_hide_no_other(monkeypatch):
    model = SDXL.model().model.diffusion_model
    for name in ("krea2", "ideogram4", "anima"):
        monkeypatch.setitem(sys.modules, f"comfy.ldm.{name}.model", None)
    assert architecture_of(model).name == "SDXL"
