"""`dev.py bench quality`: its sets, its plan, resuming, the tables and the pictures."""

import dataclasses
import json
import math
import re
import xml.etree.ElementTree as ElementTree

import pytest
import torch
from PIL import Image

from coupled.benchmarks.models import Bench, empty_latent
from coupled.benchmarks.quality import __main__ as quality
from coupled.benchmarks.quality import paint
from coupled.benchmarks.quality import run as quality_run
from coupled.benchmarks.quality.methods import (
    BASELINES,
    CURVES,
    MAIN,
    MODES,
    PAPERS,
    SAME_SEED,
    SWEEP,
    SWEPT,
    TABLE_4,
    Coupled,
)
from coupled.benchmarks.quality.page import Page
from coupled.benchmarks.quality.paint import MOST_DB, Job, JobPainter, measure
from coupled.benchmarks.quality.run import (
    make_results,
    measure_outside_all_regions,
    plan_jobs,
)
from coupled.benchmarks.quality.scores import (
    MEASURES,
    add_scores,
    count_wins,
    make_rows,
    times_nearer,
)
from coupled.benchmarks.quality.tables import (
    describe_failures,
    describe_losses,
    format_method_table,
)
from coupled.benchmarks.quality.trade_off import draw_trade_off
from coupled.benchmarks.sets import ABLATED, HELD_OUT, held_out_sets, paper_sets
from coupled.benchmarks.store import Store
from coupled.benchmarks.svg import round_numbers
from coupled.metrics.background import background_similarity
from coupled.mini.world import PLACES, SUBJECTS, held_out
from coupled.optimize import ModelMeter

SIZE = 32


# ---- sets and plan


def test_the_sets_are_enough_and_were_never_trained_together():
    sets = held_out_sets()
    assert len(sets) >= 30 and {len(one.prompts) for one in sets} == {2, 3}
    assert len({one.name for one in sets}) == len({one.prompts for one in sets}) == len(sets)
    places = {place.name for place in PLACES}
    for one in sets:
        *subjects, place = one.name.split("-")
        assert place in places and all(held_out(subject, place) for subject in subjects)
        assert len(one.entities) == len(one.prompts) == len(set(one.entities)) and one.background
        nouns = {s.name: s.nouns for s in SUBJECTS}
        for subject, prompt in zip(subjects, one.prompts, strict=True):
            assert any(noun in prompt.lower() for noun in nouns[subject])


def test_the_papers_pairs_are_split_as_the_paper_splits_them():
    first = paper_sets()[0]
    assert first.background == "A vibrant meadow under a clear blue sky, bathed in sunlight."
    assert first.entities == ("An eagle soars gracefully.", "A red fox runs.")


def test_the_plan_makes_the_main_table_first_and_nothing_twice():
    sets = [*paper_sets(), *held_out_sets()]
    jobs = plan_jobs(sets, seeds=2)
    assert len({job.key for job in jobs}) == len(jobs)
    first = jobs[: 2 * len(sets) * len(MAIN)]
    assert {job.method for job in first} == set(MAIN) and {job.seed for job in first} == {1, 2}
    made = {(job.set.name, job.seed, job.method) for job in jobs}
    assert all((ABLATED, 2, method) in made for method in (*TABLE_4, *MODES))
    assert all((ABLATED, 1, method) in made for method in SWEEP)


def test_methods_have_keys_and_labels_of_their_own():
    methods = {*MAIN, *TABLE_4, *MODES, *SWEEP}
    assert len({m.key for m in methods}) == len({m.label for m in methods}) == len(methods)
    assert all(re.fullmatch(r"[\w.-]+", m.key) for m in methods)  # they are file names
    assert [m.theta().parameters.get("k") for m in TABLE_4] == [None, 0.5, 0.8]  # 01, arctan, sin
    assert all(m.mode == "paper" and m.center == 12 for m in TABLE_4)
    assert {m.curve for m in SWEEP} == {m.curve for m in CURVES}


# ---- running and resuming


class Brush(JobPainter):
    """Paints flat pictures: the baselines differ by 0.2 in the background, the coupled ones by
    less, the later the center. No model, so that only the machinery is tested."""

    def __init__(self, fails=()):
        self.painted, self.fails = [], set(fails)

    def paint(self, job):
        self.painted.append(job.key)
        if job.key in self.fails:
            raise RuntimeError("the brush broke")
        drift = 0.02 + 0.1 / job.method.center if isinstance(job.method, Coupled) else 0.2
        n = len(job.set.prompts)
        images = torch.stack([torch.full((SIZE, SIZE, 3), 0.2 + drift * i) for i in range(n)])
        images[:, 8:16, 8:16] = 0.9
        return images


class Ruler(ModelMeter):
    """Takes the bright square for the entity; text alignment, without a CLIP model, is 20 for every
    image.
    """

    def __init__(self):
        super().__init__(None, None, "ruler")

    def masks(self, images_NHWC):
        return (images_NHWC.mean(-1) > 0.8).float()

    def compare(self, images_NHWC, prompts):
        assert len(prompts) == len(images_NHWC)
        return 0.2 * torch.eye(len(prompts), dtype=torch.float64)


def jobs_of(sets, methods=MAIN, seeds=(1,)):
    return [Job(one, seed, method) for one in sets for seed in seeds for method in methods]


def test_a_run_goes_on_where_it_stopped_and_one_failure_loses_nothing(tmp_path, capsys):
    sets, store = paper_sets()[:2], Store(tmp_path)
    jobs = jobs_of(sets)
    broken = jobs[3].key
    make_results(jobs[:5], Brush(fails=[broken]), Ruler(), store)
    records = store.records()
    assert len(records) == 5 and records[broken]["error"] == "RuntimeError: the brush broke"
    assert "failed: RuntimeError" in capsys.readouterr().out
    with store.file.open("a") as file:
        file.write('{"set": "torn')  # as a run leaves it that is killed while it writes
    again = Brush()
    make_results(jobs, again, Ruler(), Store(tmp_path))
    assert again.painted == [
        broken,
        *(job.key for job in jobs[5:]),
    ]  # the failed one is tried again
    assert len(store.records()) == len(jobs) and not any(
        "error" in r for r in store.records().values()
    )
    third = Brush()
    make_results(jobs, third, Ruler(), store)
    assert third.painted == []


def test_a_run_keeps_to_its_time(tmp_path):
    brush = Brush()
    make_results(jobs_of(paper_sets()), brush, Ruler(), Store(tmp_path), minutes=0)
    assert brush.painted == [] and Store(tmp_path).records() == {}


def test_an_interrupt_is_no_failure(tmp_path, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(quality_run, "make_result", stop)
    with pytest.raises(KeyboardInterrupt):
        make_results(jobs_of(paper_sets()), Brush(), Ruler(), Store(tmp_path))
    assert Store(tmp_path).records() == {}


def test_pictures_come_back_as_they_were_measured(tmp_path):
    images = torch.rand(3, 8, 12, 3)
    masks = (torch.rand(3, 8, 12) > 0.5).float()
    store, key = Store(tmp_path), ("a", 1, "m")
    store.save(key, "images", images)
    store.save(key, "masks", masks)
    assert (store.load(key, "images", 3) - images).abs().max() <= 0.5 / 255 + 1e-6
    assert torch.equal(store.load(key, "masks", 3), masks)


def test_f_bg_outside_the_regions_of_all_methods(tmp_path):
    class Wandering(Brush):
        """Each method puts its entity elsewhere."""

        def paint(self, job):
            shift = MAIN.index(job.method)
            images = super().paint(job).clone()
            images[0, shift : shift + 4, 20:] = 0.9
            return images

    store, sets = Store(tmp_path), paper_sets()[:1]
    jobs = jobs_of(sets)
    make_results(jobs[:-1], Wandering(), Ruler(), store)
    assert measure_outside_all_regions(store.records(), store) == {}  # one method is missing still
    make_results(jobs, Wandering(), Ruler(), store)
    found = measure_outside_all_regions(store.records(), store)
    union = torch.cat([store.load(job.key, "masks", 2) for job in jobs]).amax(0)
    images, masks = (store.load(jobs[1].key, kind, 2) for kind in ("images", "masks"))
    assert union.sum() > masks.amax(0).sum() and set(found) == {job.key for job in jobs}
    assert found[jobs[1].key] == pytest.approx(background_similarity(images, masks, union).f_bg)


# ---- tables


def record(name, seed, method, f_bg, f_ti, **more):
    others = {"validity_ratio": 0.7, "psnr": 30.0, "ssim": 0.9, "seconds": 1.0, "reason": None}
    key = {"set": name, "seed": seed, "method": method.key, "group": HELD_OUT, "n": 2}
    return {**key, "f_bg": f_bg, "f_ti": f_ti, **others, **more}


def of(*records):
    return add_scores({(r["set"], r["seed"], r["method"]): r for r in records}, {})


def test_a_row_holds_mean_spread_and_what_could_be_scored():
    records = of(
        record("a", 1, SAME_SEED, -0.01, 20),
        record("a", 2, SAME_SEED, -0.03, 24),
        record("b", 1, SAME_SEED, None, 28),
    )
    (row,) = make_rows(records, MAIN)
    assert row["f_bg"] == {"mean": pytest.approx(-0.02), "spread": pytest.approx(0.01), "count": 2}
    assert row["f_ti"]["mean"] == 24 and row["f_ti"]["count"] == 3
    assert (row["scored"], row["results"]) == (2, 3)
    assert row["stated"]["mean"] == pytest.approx((-3 + 20 / 30 - 9 + 24 / 30) / 2)
    assert row["wins"] is None


def test_how_many_times_nearer_counts_only_what_both_could_score():
    c = Coupled()
    records = of(
        record("a", 1, SAME_SEED, -0.1, 20),
        record("b", 1, SAME_SEED, -0.5, 20),
        record("c", 1, SAME_SEED, None, 20),
        record("a", 1, c, -0.02, 20),
        record("b", 1, c, None, 20),
        record("c", 1, c, -0.9, 20),
    )
    assert times_nearer([r for r in records if r["method"] == c.key], records) == pytest.approx(5)
    assert times_nearer([], records) is None


def test_a_set_is_won_against_all_baselines_or_lost():
    c = Coupled()
    baselines = [record(name, 1, b, -0.01, 20) for name in "abcd" for b in BASELINES[:2]]
    baselines += [record(name, 1, BASELINES[2], -0.01, 26) for name in "ab"] + [
        record("c", 1, BASELINES[2], None, 40)
    ]
    own = [
        record("a", 1, c, -0.001, 30),
        record("b", 1, c, -0.0099, 20),
        record("c", 1, c, -0.001, 20),
        record("d", 1, c, -0.001, 20),
    ]  # d: not all baselines have made it
    records = of(*baselines, *own)
    assert count_wins([r for r in records if r["method"] == c.key], records, "stated") == {
        "sets": 3,
        "won": 2,
        "lost": ["b"],
    }
    unscored = of(*baselines, {**own[0], "f_bg": None})
    assert count_wins([r for r in unscored if r["method"] == c.key], unscored, "stated")[
        "lost"
    ] == ["a"]


def test_the_table_marks_the_best_and_says_what_is_missing():
    c = Coupled()
    records = of(
        record("a", 1, SAME_SEED, -0.0067, 20.5),
        record("a", 1, c, -0.0002, 19),
        record("b", 1, c, None, 19),
    )
    head, _, same, coupled = format_method_table(make_rows(records, MAIN)).splitlines()
    assert head.count("|") == same.count("|") == coupled.count("|") == len(MEASURES) + 5
    assert "| -67.0 ± 0.0 |" in same and "**-2.0 ± 0.0**" in coupled and "**20.50 ± 0.00**" in same
    assert "1 of 2" in coupled and "–" in same and "33.5" in coupled
    assert "No set" in describe_losses(make_rows(records, MAIN))


def test_failures_are_told():
    assert describe_failures([]) == "None."
    told = describe_failures([{"set": "a", "seed": 1, "method": "m", "error": "ValueError: x"}])
    assert told == "- a, seed 1, m: ValueError: x"


# ---- the page


def test_the_page_is_whole_when_all_is_made(tmp_path):
    sets, store = [*paper_sets()[1:], *held_out_sets()[:1]], Store(tmp_path / "work")
    broken = (sets[0].name, 1, "p2p")
    make_results(plan_jobs(sets, seeds=1), Brush(fails=[broken]), Ruler(), store)
    page = Page("a test", "quality", sets, store, tmp_path / "docs", tmp_path / "output")
    page.write()
    text = (tmp_path / "docs" / "quality.md").read_text()
    for title in (
        "All methods, held out sets",
        "All methods, paper sets",
        "Table 4",
        "Modes",
        "Figures 8 to 10",
    ):
        assert f"## {title}" in text
    assert "p2p: RuntimeError: the brush broke" in text and "It loses on: " in text
    linked = re.findall(r"\]\((quality/[^)]+)\)", text)
    assert len(linked) == 2 + 1 + len(CURVES) and all(
        (tmp_path / "docs" / link).is_file() for link in linked
    )
    others = tmp_path / "output" / "quality"
    assert [p.name for p in others.iterdir()] == [f"{sets[2].name}.jpg"]
    numbers = json.loads((tmp_path / "output" / "quality.json").read_text())
    assert (
        len(numbers["sweep"]) == len(SWEEP)
        and len(numbers["sets"]) == 3
        and len(numbers["failed"]) == 1
    )
    one = next(r for r in numbers["methods"]["paper"] if r["method"] == Coupled(4).key)
    assert one["f_bg"]["mean"] == pytest.approx(-((0.02 + 0.1 / 4) ** 2), rel=0.2)
    with Image.open(tmp_path / "docs" / "quality" / f"{sets[0].name}.jpg") as sheet:
        assert sheet.width > len(MAIN) * 100


def test_a_page_of_a_run_that_has_only_begun(tmp_path):
    sets, store = paper_sets(), Store(tmp_path / "work")
    page = Page("a test", "quality", sets, store, tmp_path / "docs", tmp_path / "output")
    with pytest.raises(ValueError, match="no results yet"):
        page.write()
    make_results(plan_jobs(sets, 1)[:2], Brush(), Ruler(), store)
    Page("a test", "quality", sets, store, tmp_path / "docs", tmp_path / "output").write()
    text = (tmp_path / "docs" / "quality.md").read_text()
    assert "Same seed" in text and "Figures 8" not in text and "Table 4" not in text


def test_the_trade_off_is_drawn_with_every_center(tmp_path):
    swept = [record("a", 1, m, -0.01 / m.center, 25 - m.center / 10) for m in SWEEP]
    records = of(*swept, record("a", 1, SAME_SEED, -0.02, 24))
    curves = {}
    for row in make_rows(records, SWEEP):
        method = SWEPT[row["method"]]
        curves.setdefault(method.curve, []).append((method.center, row))
    picture = ElementTree.fromstring(draw_trade_off(curves, make_rows(records, BASELINES)))
    tags = [element.tag.split("}")[1] for element in picture]
    assert tags.count("circle") == len(SWEEP) and tags.count("polyline") == len(CURVES)
    places = [float(e.get("cy")) for e in picture if e.tag.endswith("circle")][
        : len(SWEEP) // len(CURVES)
    ]
    assert places == sorted(places, reverse=True)  # nearer to 0, higher up


@pytest.mark.parametrize(
    "low, high, expected",
    [
        (-86.4, 0, [-80, -60, -40, -20, 0]),
        (13.4, 14.1, [13.4, 13.6, 13.8, 14]),
        (0, 0.03, [0, 0.005, 0.01, 0.015, 0.02, 0.025, 0.03]),
    ],
)
def test_axes_have_round_numbers(low, high, expected):
    assert round_numbers(low, high) == pytest.approx(expected)


# ---- the real mini model


def test_every_kind_of_method_paints_with_the_mini_model():
    from coupled.mini.model import load_mini

    painter = JobPainter(*load_mini(), empty_latent(64), steps=2)
    one = paper_sets()[0]
    kinds = (*BASELINES, PAPERS, Coupled(entity_text="full prompt"))
    pictures = [painter.paint(Job(one, 1, method)) for method in kinds]
    for images in pictures:
        assert images.shape == (2, 64, 64, 3) and 0 <= images.min() and images.max() <= 1
        assert not torch.equal(images[0], images[1])
    assert torch.allclose(
        pictures[0][0], pictures[1][0], atol=1e-4
    )  # P2P edits the same seed's first image


def test_measures_that_are_no_numbers_become_none():
    images, masks = torch.rand(2, 24, 24, 3), torch.zeros(2, 24, 24)
    found = measure(Ruler(), images, masks, ["a", "b"])
    assert (
        found["f_bg"] is None
        and found["psnr"] is None
        and "empty" in found["reason"]
        and found["f_ti"] == 20
    )
    masks[:, 4:8, 4:8] = 1
    alike = measure(Ruler(), images[:1].expand(2, -1, -1, -1), masks, ["a", "b"])
    assert alike["f_bg"] == 0 and alike["psnr"] == MOST_DB
    json.dumps({**found, **alike}, allow_nan=False)


# ---- the command


def run_command(tmp_path, monkeypatch, *more, paints=None):
    """Runs the command on the toy, with one held-out set; Ctrl-C comes after so many paintings."""

    class Stopped(Brush):
        def __init__(self, *_):
            super().__init__()

        def paint(self, job):
            if len(self.painted) == paints:
                raise KeyboardInterrupt
            return super().paint(job)

    bench = Bench("toy", "a test", None, None, None, {}, 2, Ruler())
    monkeypatch.setattr(quality, "load_bench", lambda options: bench)
    monkeypatch.setattr(paint, "JobPainter", Stopped)
    folders = [f"--{name}={tmp_path / name}" for name in ("docs", "output", "work")]
    options = ["--host", ".", "--seeds", "1", "--sets", "0", *folders, *more]
    quality.run(quality.parse_options(options))


@pytest.mark.parametrize(
    "more, paints", [([], None), ([], 3), (["--minutes", "0"], None), (["--update-docs"], 3)]
)
def test_a_run_that_nobody_asked_to_or_that_was_interrupted_leaves_the_docs_alone(
    tmp_path, monkeypatch, more, paints
):
    if more == ["--minutes", "0"]:
        run_command(tmp_path, monkeypatch, paints=3)
    run_command(tmp_path, monkeypatch, *more, paints=paints)
    assert not (tmp_path / "docs").exists()
    text = (tmp_path / "output" / "quality.md").read_text()
    assert f"{3 if paints or more else len(plan_jobs(paper_sets(), 1))} results" in text
    links = re.findall(r"\]\((quality/[^)]+)\)", text)
    assert links and all((tmp_path / "output" / link).is_file() for link in links)


def test_the_docs_are_written_when_asked_for_and_numbers_never_go_there(tmp_path, monkeypatch):
    run_command(tmp_path, monkeypatch, "--update-docs")
    assert {path.name for path in (tmp_path / "docs").iterdir()} == {"quality.md", "quality"}
    assert (tmp_path / "output" / "quality.json").is_file()


def test_flux_asks_for_the_users_files(capsys):
    with pytest.raises(SystemExit):
        quality.parse_options(["--host", ".", "--flux", "--unet", "flux1-dev.safetensors"])
    told = capsys.readouterr().err
    assert all(f"--{name}" in told for name in ("clip-l", "t5", "vae", "sam", "clip-weights"))


def test_defaults_of_the_command():
    options = quality.parse_options(["--host", "."])
    assert options.minutes == math.inf and options.seeds >= 2 and not options.flux
    assert dataclasses.asdict(Coupled()) == {
        "center": 4,
        "shape": "sin",
        "mode": "local",
        "entity_text": "entity",
    }
