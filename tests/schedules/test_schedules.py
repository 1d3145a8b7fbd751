"""The schedules against the paper's formulas, written out here a second time, and a slow isotonic
regression.
"""

import dataclasses
import json
import math
import pickle
import random
from itertools import pairwise

import pytest

from coupled.schedules import (
    ThetaSchedule,
    arctan,
    constant,
    family,
    from_curve,
    from_json,
    from_values,
    parse_values,
    project,
    read_schedule,
    sin,
    step01,
    to_json,
    write_schedule,
)

STEPS = (50, 30, 7, 1)


def paper_01(t, c):
    return 0.0 if t < c else 1.0


def paper_arctan(t, c, k):
    return math.atan(k * (t - c)) / math.pi + 0.5


def paper_sin(t, c, k):
    if t <= c - math.pi / (2 * k):
        return 0.0
    if t >= c + math.pi / (2 * k):
        return 1.0
    return 0.5 * math.sin(k * (t - c)) + 0.5


# ---- families


def test_the_paper_figures_at_50_steps():
    assert step01(12).values(50) == [paper_01(t, 12) for t in range(50)]
    assert arctan(12, 0.5).values(50) == pytest.approx(
        [paper_arctan(t, 12, 0.5) for t in range(50)], abs=1e-14
    )
    assert sin(12, 0.8).values(50) == pytest.approx(
        [paper_sin(t, 12, 0.8) for t in range(50)], abs=1e-14
    )


def test_a_few_numbers_by_hand():
    values = sin().values(50)
    assert values[10] == 0.0 and values[12] == 0.5 and values[14] == 1.0
    assert values[13] == pytest.approx(0.5 + 0.5 * math.sin(0.8))
    assert arctan().values(50)[14] == pytest.approx(0.75)  # atan(1)/pi = 1/4


@pytest.mark.parametrize("steps", STEPS)
@pytest.mark.parametrize("center", [0, 3.5, 12, 24, 29])
def test_families_scale_with_the_number_of_steps(steps, center):
    times = [t * 50 / steps for t in range(steps)]
    assert sin(center, 0.8).values(steps) == pytest.approx(
        [paper_sin(t, center, 0.8) for t in times], abs=1e-12
    )
    assert arctan(center, 0.5).values(steps) == pytest.approx(
        [paper_arctan(t, center, 0.5) for t in times], abs=1e-12
    )
    # exact integer arithmetic: t * 50 >= center * steps
    assert step01(center).values(steps) == [float(t * 50 >= center * steps) for t in range(steps)]
    assert constant(0.3).values(steps) == [0.3] * steps


def test_the_step_is_exact_for_every_center_and_count():
    for steps in range(1, 120):
        for center in range(0, 51):
            expected = [float(t * 50 >= center * steps) for t in range(steps)]
            assert step01(center).values(steps) == expected, (steps, center)


def test_arctan_is_not_clamped_and_sin_is():
    assert 0 < arctan().values(50)[0] and arctan().values(50)[-1] < 1
    assert sin().values(50)[0] == 0.0 and sin().values(50)[-1] == 1.0


@pytest.mark.parametrize(
    "schedule", [sin(), arctan(), step01(), constant(0.5), sin(40, 0.05), arctan(3, 9)]
)
def test_schedules_never_fall_and_stay_in_range(schedule):
    values = schedule.values(997)
    assert all(a <= b for a, b in pairwise(values)) and 0 <= values[0] and values[-1] <= 1


def test_schedules_are_frozen_hashable_and_equal_by_value():
    assert sin(12, 0.8, 50) == sin() and hash(sin(12.0)) == hash(sin(12)) and sin(13) != sin()
    assert {sin(), arctan(), step01(), constant(0.0)} == {sin(), arctan(), step01(), constant(0.0)}
    assert [s.name for s in (sin(), arctan(), step01(), constant(1))] == [
        "sin",
        "arctan",
        "01",
        "constant",
    ]
    assert all(isinstance(s, ThetaSchedule) for s in (sin(), from_values([0, 1])[0]))
    assert pickle.loads(pickle.dumps(sin())) == sin()
    with pytest.raises(dataclasses.FrozenInstanceError):
        sin().center = 3


@pytest.mark.parametrize(
    "make",
    [
        lambda: sin(float("nan")),
        lambda: sin(12, float("inf")),
        lambda: sin(12, 0),
        lambda: arctan(12, -1),
        lambda: sin(12, 0.8, 0),
        lambda: sin(12, 0.8, 2.5),
        lambda: step01(float("nan")),
        lambda: constant(1.01),
        lambda: constant(float("nan")),
        lambda: constant("0.5"),
        lambda: family("cos"),
        lambda: family("sin", width=3),
        lambda: sin().at(float("nan")),
        lambda: sin().values(0),
        lambda: family(None),
    ],
)
def test_bad_parameters_are_refused(make):
    with pytest.raises(ValueError):
        make()


def test_progress_beyond_the_ends_keeps_the_end_values():
    assert sin().at(-0.1) == sin().at(0) and arctan().at(1.5) == arctan().at(1)


# ---- values


def pool_adjacent_violators(values):
    """Isotonic regression by hand: whenever a block is above the next, pour the two together."""
    blocks = [[v] for v in values]
    i = 0
    while i + 1 < len(blocks):
        if sum(blocks[i]) / len(blocks[i]) > sum(blocks[i + 1]) / len(blocks[i + 1]):
            blocks[i : i + 2] = [blocks[i] + blocks[i + 1]]
            i = max(i - 1, 0)
        else:
            i += 1
    return [sum(block) / len(block) for block in blocks for _ in block]


def test_projection_equals_pool_adjacent_violators():
    dice = random.Random(0)
    for _ in range(200):
        values = [dice.uniform(-0.4, 1.4) for _ in range(dice.randint(1, 40))]
        slow = [min(max(v, 0.0), 1.0) for v in pool_adjacent_violators(values)]
        projected = project(values)
        assert projected == pytest.approx(slow, abs=1e-12)
        assert all(a <= b for a, b in pairwise(projected))


def test_projection_by_hand_and_its_note():
    schedule, note = from_values([0.0, 0.6, 0.2, 1.0])
    assert schedule.values(4) == pytest.approx([0.0, 0.4, 0.4, 1.0])
    assert "2 of 4" in note and "0.2" in note
    assert from_values([0, 0.5, 0.5, 1])[1] is None
    assert from_values([-1, 0.5, 2])[0].values(3) == [0, 0.5, 1]


def test_listed_values_come_back_exactly_and_are_stretched():
    dice = random.Random(1)
    for count in (1, 2, 7, 29, 50, 123):
        values = sorted(dice.random() for _ in range(count))
        assert from_values(values)[0].values(count) == values
    stretched = from_values([0.0, 1.0])[0].values(8)
    assert stretched == pytest.approx([0, 0.25, 0.5, 0.75, 1, 1, 1, 1])


def test_text_is_read_in_any_common_form():
    assert (
        parse_values("0, 0.5,1")
        == parse_values("0 0.5\n1")
        == parse_values(" [0; .5;\t1e0] ")
        == [0, 0.5, 1]
    )
    assert parse_values("0,,1\r\n") == [0, 1]


@pytest.mark.parametrize(
    "text, words",
    [
        ("", "no values"),
        (" ,\n ", "no values"),
        ("0, abc, 1", "Value 2 is 'abc'"),
        ("0, nan", "Value 2"),
        ("inf", "Value 1"),
        ("0 0.5.1", "0.5.1"),
        ("0 " * 10_001, "10001 values"),
        ("[[0, 1]]", "not a number"),
    ],
)
def test_bad_text_is_refused_with_the_place(text, words):
    with pytest.raises(ValueError, match=words.replace("[", r"\[")):
        parse_values(text)


# ---- the host's curve


def host_curve(points, interpolation="monotone_cubic"):
    import comfy_api.latest  # noqa: F401  (the host's comfy_api.input loads only after it)
    from comfy_api.input import CurveInput

    return CurveInput.from_raw({"points": points, "interpolation": interpolation})


@pytest.mark.parametrize("interpolation", ["linear", "monotone_cubic"])
@pytest.mark.parametrize("steps", [50, 30, 20])
def test_a_rising_curve_is_taken_as_drawn(interpolation, steps):
    curve = host_curve([(0, 0), (0.2, 0.1), (0.28, 0.9), (1, 1)], interpolation)
    schedule, note = from_curve(curve)
    assert note is None
    assert schedule.values(steps) == pytest.approx(
        [curve.interp(t / steps) for t in range(steps)], abs=1e-12
    )
    assert schedule.values(7) == pytest.approx([curve.interp(t / 7) for t in range(7)], abs=1e-3)


def test_a_falling_curve_is_projected_with_a_note():
    schedule, note = from_curve(host_curve([(0, 0), (0.5, 1), (1, 0)], "linear"))
    values = schedule.values(50)
    assert "Changed" in note and all(a <= b for a, b in pairwise(values))
    falling = from_curve(host_curve([(0, 1), (1, 0)], "linear"))[0].values(50)
    assert falling == pytest.approx([0.5] * 50, abs=1e-3)
    high = from_curve(host_curve([(0, -1), (1, 3)], "linear"))
    assert high[0].values(4) == pytest.approx([0, 0, 1, 1]) and high[1]


@pytest.mark.parametrize(
    "points", [[], [(0, float("nan"))], [(float("inf"), 0)], [(0, 0), (1.2, 1)], [(-0.1, 0)]]
)
def test_bad_curves_are_refused(points):
    with pytest.raises(ValueError, match="curve|values"):
        from_curve(host_curve(points))


# ---- files


@pytest.mark.parametrize(
    "schedule",
    [
        sin(),
        sin(7.25, 0.3, 28),
        arctan(),
        step01(20, 30),
        constant(0.25),
        from_values([0, 0.1, 1 / 3, 1])[0],
        from_values([0.5], name="Ein Wert · 値", origin="by hand")[0],
    ],
)
def test_a_file_gives_the_same_schedule_back(schedule, tmp_path):
    path = tmp_path / "theta.json"
    write_schedule(schedule, path)
    assert read_schedule(path) == schedule
    document = json.loads(path.read_text(encoding="utf-8"))
    assert document["format"] == "coupled-theta" and document["version"] == 1
    assert set(document) == {"format", "version", "name", "values", "source"}
    with pytest.raises(FileExistsError):
        write_schedule(schedule, path)


def test_edited_values_win_over_the_source():
    document = json.loads(to_json(sin()))
    document["values"][11] = 0.25
    schedule = from_json(json.dumps(document))
    assert schedule.values(50)[11] == 0.25 and schedule != sin() and schedule.name == "sin"


def test_a_renamed_family_stays_exact():
    document = json.loads(to_json(sin())) | {"name": "my own"}
    schedule = from_json(json.dumps(document))
    assert schedule.name == "my own" and schedule.values(33) == sin().values(33)


VALID = {
    "format": "coupled-theta",
    "version": 1,
    "name": "x",
    "values": [0, 0.5, 1],
    "source": {"shape": "values"},
}


@pytest.mark.parametrize(
    "change, words",
    [
        ({"format": "other"}, "format"),
        ({"version": 2}, "Update"),
        ({"version": "1"}, "version"),
        ({"version": True}, "version"),
        ({"version": 0}, "version"),
        ({"name": ""}, "name"),
        ({"name": 3}, "name"),
        ({"name": "a\nb"}, "name"),
        ({"name": "n" * 201}, "name"),
        ({"values": []}, "no values"),
        ({"values": "0, 1"}, "list of numbers"),
        ({"values": [0, "1"]}, "list of numbers"),
        ({"values": [0, True]}, "list of numbers"),
        ({"values": [0, None]}, "list of numbers"),
        ({"values": [0, 0.8, 0.5]}, "Value 3 falls"),
        ({"values": [0, 1.2]}, "Value 2"),
        ({"values": [-0.1]}, "Value 1"),
        ({"values": [0, 10**400]}, "Value 2"),
        ({"values": [0] * 10_001}, "at most"),
        ({"source": "me"}, "source"),
    ],
)
def test_bad_files_are_refused_with_the_reason(change, words):
    assert from_json(json.dumps(VALID)).values(3) == [0, 0.5, 1]
    with pytest.raises(ValueError, match=words):
        from_json(json.dumps(VALID | change))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "null",
        "{",
        '{"format": "coupled-theta"}',
        "[" * 100_000,
        json.dumps(VALID | {"values": [0, math.nan]}),
        json.dumps(VALID | {"values": [0, math.inf]}),
        json.dumps(VALID).replace("0.5", "1e999"),
        json.dumps(VALID).replace("0.5", "9" * 5000),
    ],
)
def test_garbage_is_refused(text):
    with pytest.raises(ValueError):
        from_json(text)


def test_a_byte_order_mark_is_passed_over(tmp_path):
    path = tmp_path / "marked.json"
    path.write_text(json.dumps(VALID), encoding="utf-8-sig")
    assert read_schedule(path).values(3) == [0, 0.5, 1]


def test_reading_is_bounded_and_names_the_file(tmp_path):
    large, binary = tmp_path / "large.json", tmp_path / "binary.json"
    large.write_text(json.dumps(VALID) + " " * 1_000_000)
    binary.write_bytes(b"\xff\xfe\x00")
    for path, words in (
        (large, "large.json.*larger"),
        (binary, "binary.json"),
        (tmp_path / "none.json", "none.json"),
    ):
        with pytest.raises(ValueError, match=words):
            read_schedule(path)


@pytest.mark.parametrize(
    "source",
    [
        {"shape": "sin", "center": float(10**6), "k": -1, "reference_steps": 3},
        {"shape": "sin", "theta": 1},
        {"shape": ["sin"]},
        {"shape": "constant", "value": "0"},
        {"shape": "sin", "reference_steps": 10**300},
        {},
    ],
)
def test_a_false_source_is_ignored(source):
    assert from_json(json.dumps(VALID | {"source": source})).values(3) == [0, 0.5, 1]
