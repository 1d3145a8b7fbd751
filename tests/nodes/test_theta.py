"""The theta nodes, executed through their classes, with the host's real folders moved to a
temporary place.
"""

import json
import logging
import os

import folder_paths
import numpy as np
import pytest
import torch

from coupled.nodes import theta_store
from coupled.nodes.theta import (
    CoupledThetaCurve,
    CoupledThetaPlot,
    CoupledThetaSchedule,
    CoupledThetaValues,
)
from coupled.nodes.theta_files import CoupledThetaLoad, CoupledThetaSave
from coupled.nodes.theta_store import list_schedules
from coupled.plots.theta import draw_theta, step_ticks
from coupled.schedules import arctan, constant, from_values, sin, step01, to_json

NODES = [
    CoupledThetaSchedule,
    CoupledThetaValues,
    CoupledThetaCurve,
    CoupledThetaSave,
    CoupledThetaLoad,
    CoupledThetaPlot,
]


@pytest.fixture
def folders(tmp_path, monkeypatch):
    """Output and models/theta of the host, in tmp_path."""
    monkeypatch.setattr(folder_paths, "output_directory", str(tmp_path / "output"))
    monkeypatch.setattr(folder_paths, "temp_directory", str(tmp_path / "temp"))
    models = tmp_path / "models" / "theta"
    models.mkdir(parents=True)
    monkeypatch.setitem(folder_paths.folder_names_and_paths, "theta", ([str(models)], set()))
    monkeypatch.setattr(theta_store, "SHIPPED", tmp_path / "learned")
    return tmp_path


def make(shape, reference_steps=50, **parameters):
    return CoupledThetaSchedule.execute({"shape": shape, **parameters}, reference_steps)[0]


# ---- schemas


@pytest.mark.parametrize("node", NODES)
def test_schemas_are_whole(node):
    schema = node.GET_SCHEMA()
    assert schema.node_id == node.__name__ and schema.category == "coupled/theta"
    assert schema.description and schema.search_aliases
    inputs = [i for declared in schema.inputs for i in declared.get_all()]
    assert all(i.tooltip for i in inputs) and all(o.display_name for o in schema.outputs)


def test_inputs_follow_the_contract_and_center_suits_local_mode():
    required = CoupledThetaSchedule.INPUT_TYPES()["required"]
    options = {o["key"]: o["inputs"]["required"] for o in required["shape"][1]["options"]}
    assert list(options) == ["sin", "arctan", "01", "constant", "drawn"]
    assert {k: v[1]["default"] for k, v in options["sin"].items()} == {"center": 4, "k": 0.8}
    assert {k: v[1]["default"] for k, v in options["arctan"].items()} == {"center": 4, "k": 0.5}
    assert [list(options[key]) for key in ("01", "constant", "drawn")] == [
        ["center"],
        ["value"],
        ["values"],
    ]
    assert required["reference_steps"][1]["default"] == 50
    assert CoupledThetaPlot.INPUT_TYPES()["required"]["steps"][1]["default"] == 50
    assert [list(n.INPUT_TYPES()["required"]) for n in NODES] == [
        ["shape", "reference_steps"],
        ["values"],
        ["curve"],
        ["theta", "filename_prefix"],
        ["schedule"],
        ["theta", "steps"],
    ]
    for node in NODES:
        node.GET_SCHEMA()
    assert [n._RETURN_TYPES for n in NODES] == [["THETA_SCHEDULE"]] * 3 + [
        [],
        ["THETA_SCHEDULE"],
        ["IMAGE", "STRING"],
    ]


# ---- making


def test_the_schedule_node_makes_each_family():
    assert make("sin", center=12.0, k=0.8) == sin()
    assert make("arctan", 30, center=9.0, k=0.5) == arctan(9, 0.5, 30)
    assert make("01", center=12.0) == step01()
    assert make("constant", value=0.5) == constant(0.5)


@pytest.mark.parametrize(
    "shape",
    [
        {"shape": "sin", "center": float("nan"), "k": 0.8},
        {"shape": "sin", "center": 12.0, "k": float("nan")},
        {"shape": "constant", "value": float("nan")},
        {"shape": "cosine"},
        {"shape": "constant"},
        {},
    ],
)
def test_nan_and_unknown_shapes_are_refused(shape):
    with pytest.raises(ValueError):
        CoupledThetaSchedule.execute(shape, 50)


def test_a_shape_that_the_host_does_not_know_is_refused():
    with pytest.raises(
        ValueError, match="choose one of sin"
    ):  # the host leaves the whole input out
        CoupledThetaSchedule.execute(reference_steps=50)


def test_a_drawn_schedule_is_that_of_its_values():
    assert make("drawn", values="0, 0.25, 1").values(6) == CoupledThetaValues.execute("0, 0.25, 1")[
        0
    ].values(6)
    drawn, _ = from_values([0, 1], "drawn")
    assert make("drawn", values="0 1") == make("drawn", values="0 1", reference_steps=7) == drawn
    default = CoupledThetaSchedule.INPUT_TYPES()["required"]["shape"][1]["options"][-1]["inputs"][
        "required"
    ]["values"]
    assert (
        CoupledThetaSchedule.execute({"shape": "drawn", "values": default[1]["default"]}, 50).ui
        is None
    )
    fallen = CoupledThetaSchedule.execute({"shape": "drawn", "values": "0, 0.6, 0.2, 1"}, 50)
    assert (
        fallen[0].values(4) == pytest.approx([0, 0.4, 0.4, 1])
        and "2 of 4" in fallen.ui.as_dict()["text"][0]
    )


@pytest.mark.parametrize("drawn", [{}, {"values": ""}, {"values": "0, half"}, {"values": "0, nan"}])
def test_a_drawn_schedule_without_numbers_is_refused(drawn):
    with pytest.raises(ValueError, match="values|number"):
        CoupledThetaSchedule.execute({"shape": "drawn", **drawn}, 50)


def test_the_curve_gets_the_learned_schedules_as_text(tmp_path, monkeypatch):
    learned, _ = from_values([0, 0.12345, 1], "learned")
    (tmp_path / "hills.json").write_text(to_json(learned))
    monkeypatch.setattr(theta_store, "SHIPPED", tmp_path)
    (text,) = theta_store.learned_values().values()
    assert list(theta_store.learned_values()) == ["hills"] and make("drawn", values=text).values(
        3
    ) == [
        0,
        0.1235,
        1,
    ]
    inputs = CoupledThetaSchedule.define_schema().inputs[0].options[-1].inputs
    assert inputs[0].as_dict()["learned"] == {"hills": text}


def test_values_say_what_the_projection_changed(caplog):
    with caplog.at_level(logging.WARNING):
        output = CoupledThetaValues.execute("0, 0.6, 0.2, 1")
    assert output[0].values(4) == pytest.approx([0, 0.4, 0.4, 1])
    assert "2 of 4" in output.ui.as_dict()["text"][0] and "2 of 4" in caplog.text
    assert CoupledThetaValues.execute("0 1").ui is None


def test_a_curve_comes_as_the_widget_or_the_editor_gives_it():
    from comfy_extras.nodes_curve import CurveEditor

    raw = {"points": [[0, 0], [0.5, 0], [0.5, 1], [1, 1]], "interpolation": "linear"}
    from_widget = CoupledThetaCurve.execute(raw)[0]
    assert from_widget == CoupledThetaCurve.execute(CurveEditor.execute(raw)[0])[0]
    assert from_widget.values(10) == [0.0] * 5 + [1.0] * 5
    default = CoupledThetaCurve.INPUT_TYPES()["required"]["curve"][1]["default"]
    drawn = CoupledThetaCurve.execute(default)
    assert drawn.ui is None and drawn[0].values(50)[10] == 0 and drawn[0].values(50)[14] == 1


@pytest.mark.parametrize(
    "curve",
    [
        {},
        {"points": []},
        {"points": [[0]]},
        {"points": "ab"},
        {"points": [[0, "x"]]},
        3,
        None,
        {"points": [[0, None]]},
        {"points": [[0, float("nan")]]},
        {"points": [[0, 0], [2, 1]]},
    ],
)
def test_bad_curves_are_refused(curve):
    with pytest.raises(ValueError):
        CoupledThetaCurve.execute(curve)


# ---- saving and loading


def test_save_then_load(folders):
    text = CoupledThetaSave.execute(sin(), "theta").ui.as_dict()["text"][0]
    assert os.path.join("theta", "theta_00001_.json") in text
    CoupledThetaSave.execute(arctan(), "theta")
    CoupledThetaSave.execute(step01(), "portraits\\soft")
    assert list_schedules() == [
        "portraits/soft_00001_.json [output]",
        "theta_00001_.json [output]",
        "theta_00002_.json [output]",
    ]
    assert [CoupledThetaLoad.execute(name)[0] for name in list_schedules()] == [
        step01(),
        sin(),
        arctan(),
    ]
    assert CoupledThetaLoad.INPUT_TYPES()["required"]["schedule"][1]["options"] == list_schedules()


def test_the_list_holds_json_files_only_and_keeps_the_folders_apart(folders):
    models = folders / "models" / "theta"
    (models / "a.json").write_text(to_json(sin()))
    (models / "b.safetensors").write_text("x")
    (models / "c.json.txt").write_text("x")
    saved = folders / "output" / "theta"
    saved.mkdir(parents=True)
    (saved / "a.json").write_text(to_json(arctan()))
    assert list_schedules() == ["a.json", "a.json [output]"]
    assert CoupledThetaLoad.execute("a.json")[0] == sin()
    assert CoupledThetaLoad.execute("a.json [output]")[0] == arctan()
    with pytest.raises(ValueError, match="no schedule"):
        CoupledThetaLoad.execute("b.safetensors")


def test_a_changed_file_is_read_again(folders):
    path = folders / "models" / "theta" / "a.json"
    path.write_text(to_json(sin()))
    before = CoupledThetaLoad.fingerprint_inputs("a.json")
    assert before == CoupledThetaLoad.fingerprint_inputs("a.json")
    path.write_text(to_json(constant(1)))
    assert before != CoupledThetaLoad.fingerprint_inputs("a.json")


def test_a_linked_name_is_always_read_again():
    before, after = (
        CoupledThetaLoad.fingerprint_inputs(None) for _ in range(2)
    )  # what the host passes for a link
    assert before != before and (0, before) != (0, after)


@pytest.mark.parametrize(
    "prefix",
    [
        "",
        " ",
        ".",
        "..",
        "../theta",
        "a/../../x",
        "/etc/theta",
        "a//b",
        "a/",
        "C:\\theta",
        "..\\x",
        "a\0b",
        "a\nb",
        "~/../x/..",
        "x" * 300,
        "a?",
        "a./b",
        "日" * 90,
        "a\u200bb",
        "\ud800",
    ],
)
def test_no_prefix_leaves_the_folder(folders, prefix):
    before = sorted(folders.rglob("*"))
    with pytest.raises(ValueError, match="filename_prefix"):
        CoupledThetaSave.execute(sin(), prefix)
    assert sorted(folders.rglob("*")) == before


def test_no_link_leads_out_of_the_folders(folders):
    outside = folders / "outside"
    outside.mkdir()
    (outside / "secret.json").write_text(to_json(sin()))
    saved = folders / "output" / "theta"
    saved.mkdir(parents=True)
    try:
        (saved / "link").symlink_to(outside, target_is_directory=True)
    except OSError:
        pytest.skip("this system makes no symbolic links")
    with pytest.raises(ValueError, match="filename_prefix"):
        CoupledThetaSave.execute(sin(), "link/theta")
    with pytest.raises(ValueError, match="no schedule"):
        CoupledThetaLoad.execute("link/secret.json [output]")
    assert [p.name for p in outside.iterdir()] == ["secret.json"]


@pytest.mark.parametrize("mark", ["", " [output]"])
@pytest.mark.parametrize(
    "name", ["../secret.json", "a/../../secret.json", "..\\secret.json", "secret.json\0", ""]
)
def test_no_name_reads_outside_the_folders(folders, name, mark):
    for place in (folders / "models" / "secret.json", folders / "output" / "secret.json"):
        place.parent.mkdir(exist_ok=True)
        place.write_text(to_json(sin()))
    with pytest.raises(ValueError, match="no schedule"):
        CoupledThetaLoad.execute(name + mark)
    with pytest.raises(ValueError, match="no schedule"):
        CoupledThetaLoad.execute(str(folders / "models" / "secret.json") + mark)


def test_a_bad_file_names_itself(folders):
    (folders / "models" / "theta" / "bad.json").write_text(
        json.dumps({"format": "coupled-theta", "version": 9})
    )
    with pytest.raises(ValueError, match="bad.json.*version 9"):
        CoupledThetaLoad.execute("bad.json")


def test_only_schedules_are_saved_and_plotted(folders):
    with pytest.raises(ValueError, match="THETA_SCHEDULE"):
        CoupledThetaSave.execute([0, 1], "theta")
    with pytest.raises(ValueError, match="THETA_SCHEDULE"):
        CoupledThetaPlot.execute("sin", 50)


# ---- the plot


def test_the_plot_node_gives_an_image_and_pasteable_values(folders):
    output = CoupledThetaPlot.execute(sin(), 30)
    assert output[0].shape == (1, 648, 1152, 3) and output[0].dtype == torch.float32
    assert 0 <= output[0].min() and output[0].max() <= 1
    assert CoupledThetaValues.execute(output[1])[0].values(30) == pytest.approx(
        sin().values(30), abs=1e-5
    )
    assert output.ui.as_dict()["images"][0]["type"] == "temp"


def colored(picture):
    """Where the picture is strongly colored: the line and the dots, not the grays."""
    pixels = np.asarray(picture).astype(int)
    return (pixels.max(-1) - pixels.min(-1)) > 75


def test_the_line_is_where_theta_is():
    low, high = colored(draw_theta(constant(0), 50)), colored(draw_theta(constant(1), 50))
    assert low[556, 100:1100].mean() > 0.8 and not low[146, 300:1100].any()
    assert high[146, 300:1100].mean() > 0.8 and not high[556, 300:900].any()


@pytest.mark.parametrize("steps", [1, 2, 7, 121, 10_000])
def test_any_number_of_steps_and_any_name_can_be_drawn(steps):
    schedule, _ = from_values([0, 1], name="a very long name " * 12, origin="somewhere " * 30)
    assert draw_theta(schedule, steps).size == (1152, 648)


def test_ticks_are_few_and_round():
    assert (
        step_ticks(50) == list(range(0, 51, 5))
        and step_ticks(7) == list(range(8))
        and step_ticks(1) == [0, 1]
    )
    assert all(2 <= len(step_ticks(n)) <= 11 for n in range(1, 2000))
