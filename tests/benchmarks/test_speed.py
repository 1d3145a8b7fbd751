"""`bench speed` on a tiny model: everything is measured and written.

How quick it is, no test says.
"""

import dataclasses
import json
import math
import xml.etree.ElementTree as ElementTree
from collections import Counter

import pytest

from coupled.attention import plate_run
from coupled.attention.families import ARCHITECTURES
from coupled.benchmarks.speed import __main__ as speed
from coupled.benchmarks.speed import families
from coupled.benchmarks.speed.apart import SET, SETS, measure_apart
from coupled.benchmarks.speed.bench import FLUX_DEV, QUICK, Bench, compare, draw_region
from coupled.benchmarks.speed.families import FAMILIES
from coupled.benchmarks.speed.measure import (
    describe_machine,
    measure_growth,
    measure_runs,
    measure_steps,
)
from coupled.benchmarks.speed.page import SET_BARS, write_page
from coupled.benchmarks.speed.sets import (
    PEAKS,
    QUARTER,
    compare_peaks,
    compose_ratio,
    expect_ratios,
    kinds_of_run,
    measure_sets,
    measure_shares,
)
from coupled.schedules import family

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def report():
    bench = Bench(QUICK)
    return {
        "machine": describe_machine(bench),
        "steps": measure_steps(bench),
        "runs": measure_runs(bench),
        "growth": measure_growth(bench),
        "sets": dict.fromkeys(("host", "same"), measure_sets(bench)),
        "shares": measure_shares(bench),
        "memory": {"exact": 1.0, "local": 1.0},
        "memory_of_sets": dict.fromkeys(PEAKS, compare_peaks(QUICK, 1.5e9, 1e9)),
        "import_seconds": 0.1,
    }


def test_every_row_is_a_ratio(report):
    assert len(report["steps"]) == 7 and len(report["runs"]) == 4
    sets = report["sets"]["host"]
    assert list(sets) == ["n = 2"]
    steps = sets["n = 2"]["steps"].values()
    assert sum(step["count"] for step in steps) == 50
    composed = [*sets.values(), *steps]
    assert all(row["ratio"] > 0 and row["expected"] > 0 for row in composed)
    rows = [
        *report["steps"].values(),
        *report["runs"].values(),
        *report["growth"]["tokens"],
    ]
    assert all(
        math.isfinite(r["ratio"]) and 0 < r["least"] <= r["ratio"] <= r["greatest"] for r in rows
    )


def test_the_page_shows_what_was_measured(report, tmp_path):
    write_page(report, tmp_path, tmp_path / "output")
    page = (tmp_path / "performance.md").read_text()
    sets = report["sets"]["host"]
    names = (*report["steps"], *report["runs"], *sets, *sets["n = 2"]["steps"], *PEAKS)
    assert all(name in page for name in names)
    assert (
        json.loads((tmp_path / "output" / "performance.json").read_text())["steps"].keys()
        == report["steps"].keys()
    )
    (shares,) = report["shares"].values()
    for name, points in {**report["growth"], "shares": shares}.items():
        assert f"performance/{name}.svg" in page
        dots = ElementTree.parse(tmp_path / "performance" / f"{name}.svg").findall(".//{*}circle")
        assert len(dots) == len(points) and all(point["ratio"] > 0 for point in points)


def test_a_ratio_is_taken_turn_by_turn():
    found = compare([2.0, 30.0, 4.0], [1.0, 10.0, 4.0])
    assert (found["ratio"], found["least"], found["greatest"]) == (2.0, 1.0, 3.0)


def test_expected_cost_of_flux_dev():
    """A second text of 256 tokens beside 4096 + 256 costs 6 to 7 % by the count."""
    assert 1.055 < FLUX_DEV.flops(1, 4096, 2) / FLUX_DEV.flops(1, 4096, 1) < 1.07
    assert FLUX_DEV.flops(4, 4096, 1) == 4 * FLUX_DEV.flops(1, 4096, 1)


def test_flux_dev_has_24_gb_of_weights_beside_which_a_step_weighs_little():
    assert 23.4e9 < FLUX_DEV.weight_bytes < 24e9  # of 11.9e9 parameters, most
    at_flux_dev = compare_peaks(FLUX_DEV, 30e9, 27e9)
    assert at_flux_dev["ratio"] < at_flux_dev["flux_dev"] < 1.13


def test_the_kinds_of_a_runs_steps_are_those_that_it_computes(monkeypatch):
    """A run of a tiny model tells in which of its steps regions are decided."""
    bench, theta, side = Bench(QUICK), family("sin", center=4), 8
    decided, stamps = [], []

    def find(contrast, x0_NCHW, patch):
        decided.append(len(stamps))
        tokens = draw_region(2, side, QUARTER) > 0
        return tokens.repeat_interleave(patch, 1).repeat_interleave(patch, 2)

    monkeypatch.setattr(plate_run, "find_region", find)
    bench.coupled(2, side**2, theta, "local", 50, lambda *_: stamps.append(0))
    kinds = kinds_of_run(bench.model.get_model_object("model_sampling"), theta)
    assert decided == [i for i, kind in enumerate(kinds) if kind.decides]
    assert len(decided) == 1


@pytest.mark.parametrize("n", [2, 4, 8, 16])
def test_by_the_count_whole_runs_of_sets_with_flux_dev_are_within_their_bars(n):
    sampling = Bench(QUICK).model.get_model_object("model_sampling")
    counts = Counter(kinds_of_run(sampling, family("sin", center=4)))
    bar, aim = SET_BARS[f"n = {n}"]
    expected = compose_ratio(expect_ratios(FLUX_DEV, n, counts), counts)
    assert aim - 0.02 < expected <= bar


@pytest.mark.slow
def test_sets_are_measured_with_one_kernel_in_a_process_of_its_own():
    import folder_paths

    options = speed.parse_options(["--host", folder_paths.base_path, "--quick"])
    assert all(row["ratio"] > 0 for row in measure_apart(options, SETS).values())
    assert measure_apart(options, SET + next(iter(PEAKS))) > 0


@pytest.mark.slow
def test_import_is_measured_in_a_process_of_its_own():
    import folder_paths

    options = speed.parse_options(["--host", folder_paths.base_path, "--quick"])
    assert 0 < measure_apart(options, "import") < 60


@pytest.mark.parametrize("name", [one.name for one in ARCHITECTURES])
def test_a_mixed_step_is_measured_in_every_family(name, monkeypatch, capsys):
    small = FAMILIES[name]
    small = dataclasses.replace(small, latent=(*small.latent[:-2], 8, 8))
    monkeypatch.setitem(FAMILIES, name, small)
    monkeypatch.setattr(families, "IMAGES", 2)
    monkeypatch.setattr(families, "REPEATS", 1)
    assert speed.print_families(name) == 0
    printed = capsys.readouterr().out.splitlines()
    cases = ["exact, batch 1", "paper, batch 1", "exact, batch 2", "local, batch 2"]
    assert [line.rsplit(":", 1)[0] for line in printed] == [f"{name}, {case}" for case in cases]
    assert all(float(line.rsplit(":", 1)[1].split()[0]) > 0 for line in printed)


def test_an_unknown_family_is_named(capsys):
    assert speed.print_families("Flux.9") == 2
    assert "no family 'Flux.9'; choose one of: Flux.1, Flux.2" in capsys.readouterr().out
