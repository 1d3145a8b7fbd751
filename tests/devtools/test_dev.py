"""`dev.py` and what stands behind it: set-up, the server's life, workflows in API form, the contact
sheet.
"""

import os
import re
import signal
import subprocess
import sys
import tarfile
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from PIL import Image

from coupled.dev import MODULES
from coupled.devtools import check, install, stream
from coupled.devtools.environment import Environment, SetupError
from coupled.devtools.host import HostError, HostServer, free_port, link_pack
from coupled.devtools.sheet import CELL, contact_sheet
from coupled.devtools.terminal import ProgressLine
from coupled.devtools.workflow import to_prompt

from paths import HOST, ROOT


def dev(*arguments: str, **variables: str) -> subprocess.CompletedProcess:
    command = [sys.executable, ROOT / "dev.py", *arguments]
    environment = os.environ | {"PYTHONIOENCODING": "utf-8"} | variables
    return subprocess.run(
        command, capture_output=True, text=True, encoding="utf-8", env=environment, timeout=60
    )


def test_second_setup_is_quick_and_changes_nothing():
    before = install.OWN.stamp.stat().st_mtime if install.OWN.stamp.exists() else None
    started = time.monotonic()
    done = dev("setup")
    assert done.returncode == 0 and time.monotonic() - started < 3
    assert done.stdout.startswith("Ready:") and len(done.stdout.splitlines()) == 1
    assert before == (install.OWN.stamp.stat().st_mtime if install.OWN.stamp.exists() else None)


def test_comfyui_path_that_is_no_comfyui(tmp_path):
    done = dev("setup", COMFYUI_PATH=str(tmp_path))
    assert done.returncode == 1
    assert "'COMFYUI_PATH' failed" in done.stderr and "not a ComfyUI folder" in done.stderr
    assert "What to do: Set COMFYUI_PATH" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize("version, said", [("0.3.59", "too old"), ("0.30.0", "lacks torch")])
def test_users_host_that_cannot_be_used(tmp_path, version, said):
    (tmp_path / "comfy").mkdir()
    (tmp_path / "main.py").touch()
    (tmp_path / "comfyui_version.py").write_text(f'__version__ = "{version}"\n')
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "bare"], check=True)
    bare = tmp_path / "bare" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    done = dev("setup", COMFYUI_PATH=str(tmp_path), COMFYUI_PYTHON=str(bare))
    assert done.returncode == 1 and said in done.stderr


def test_a_python_that_is_no_program_is_told(tmp_path):
    (tmp_path / "python").write_text("no program")
    done = dev("setup", COMFYUI_PATH=str(HOST), COMFYUI_PYTHON=str(tmp_path / "python"))
    assert done.returncode == 1 and "lacks torch" in done.stderr and "Traceback" not in done.stderr


def test_users_own_host_is_taken_as_it_is():
    done = dev("setup", COMFYUI_PATH=str(HOST), COMFYUI_PYTHON=sys.executable)
    assert done.returncode == 0 and str(HOST.resolve()) in done.stdout


@pytest.mark.parametrize(
    "words, said",
    [
        ("dataset make -h", "usage: dev.py dataset make"),
        ("bench dataset --help", "usage: dev.py bench dataset"),
        ("bench -h", "{dataset,mini,quality,speed}"),
        ("optimize -h", "--minutes"),
        ("check -h", "usage: dev.py check"),
        ("demo -h", "--workflow"),
        ("serve -h", "--port"),
        ("-h", "{setup,demo,"),
    ],
)
def test_each_command_says_its_own_options_and_installs_nothing_for_it(words, said, tmp_path):
    done = dev(*words.split(), COMFYUI_PATH=str(tmp_path))  # no ComfyUI is there
    assert done.returncode == 0 and said in done.stdout and not done.stderr


@pytest.mark.parametrize("module", MODULES.values())
def test_options_are_said_on_a_bare_machine(module):
    done = subprocess.run(
        [sys.executable, "-S", "-m", module, "-h"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0 and done.stdout.startswith("usage:"), done.stderr


def plan_of(tmp_path: Path, log: list[str], **keys: str) -> list[install.Step]:
    return [
        install.Step(name, key, tmp_path, lambda name=name: log.append(name))
        for name, key in keys.items()
    ]


def test_only_changed_steps_run_again(tmp_path, monkeypatch):
    log: list[str] = []
    monkeypatch.delenv("COMFYUI_PATH", raising=False)
    monkeypatch.setattr(install, "OWN", replace(install.OWN, venv=tmp_path))
    for keys in ({"a": "1", "b": "1"}, {"a": "1", "b": "1"}, {"a": "1", "b": "2"}):
        monkeypatch.setattr(
            install, "steps", lambda site, keys=keys: plan_of(tmp_path, log, **keys)
        )
        install.prepare()
    assert log == ["a", "b", "b"]


def test_failed_step_says_which_why_and_what_to_do(tmp_path, monkeypatch):
    def fail():
        stream.stream([sys.executable, "-c", "import sys; print('no space left'); sys.exit(3)"])

    log: list[str] = []
    monkeypatch.delenv("COMFYUI_PATH", raising=False)
    monkeypatch.setattr(install, "OWN", replace(install.OWN, venv=tmp_path))
    good = plan_of(tmp_path, log, first="1")
    monkeypatch.setattr(
        install,
        "steps",
        lambda site: [*good, install.Step("second", "1", tmp_path, fail, "free some")],
    )
    for _ in range(2):
        with pytest.raises(SetupError) as caught:
            install.prepare()
        assert (caught.value.step, caught.value.advice) == ("second", "free some")
        assert "no space left" in caught.value.why
    assert log == ["first"]


def test_each_command_runs_its_own_steps(tmp_path, monkeypatch):
    log: list[str] = []
    monkeypatch.delenv("COMFYUI_PATH", raising=False)
    monkeypatch.setattr(install, "OWN", replace(install.OWN, venv=tmp_path))
    step = install.Step("tools", "1", tmp_path, lambda: log.append("tools"), commands=("test",))
    plan = [*plan_of(tmp_path, log, host="1"), step]
    monkeypatch.setattr(install, "steps", lambda site: plan)
    install.prepare("demo")
    assert log == ["host"]
    install.prepare("test")
    install.prepare("test")
    assert log == ["host", "tools"]


def test_only_what_needs_them_installs_test_tools_and_templates():
    wanted = {
        "setup": set(),
        "demo": set(),
        "serve": {"ComfyUI's templates"},
        "test": {"ComfyUI's templates", "test tools"},
        "check": {"test tools"},
        "bench": {"test tools"},
        "optimize": {"test tools"},
        "train-mini": {"test tools"},
    }
    common = {step.name for step in install._plan("demo", install.OWN)}
    assert "ComfyUI's requirements" in common and "torch" in common
    for command, more in wanted.items():
        assert {step.name for step in install._plan(command, install.OWN)} - common == more


def test_before_the_first_setup_its_cost_is_told_and_never_again(tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("COMFYUI_PATH", raising=False)
    monkeypatch.setattr(install, "OWN", replace(install.OWN, venv=tmp_path))
    install.announce("demo", False)
    said = capsys.readouterr().out
    assert all(word in said for word in (str(ROOT), "GB on disk", "to download", "minutes"))
    assert "about 2.0 GB" in said and "system packages" not in said
    install.announce("test", True)
    assert "and the system packages named below" in capsys.readouterr().out
    install.OWN.stamp.touch()
    install.announce("demo", False)
    assert capsys.readouterr().out == ""


def test_nothing_is_announced_for_a_users_own_comfyui(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("COMFYUI_PATH", str(HOST))
    monkeypatch.setattr(install, "OWN", replace(install.OWN, venv=tmp_path))
    install.announce("demo", False)
    assert capsys.readouterr().out == ""


def test_a_long_step_says_the_time_while_it_shows_nothing_else(monkeypatch, capsys):
    monkeypatch.setattr(stream, "SILENCE", 1)
    chatter = "print('Requirement already satisfied', flush=True); time.sleep(0.25);"
    code = f"import time\nfor _ in range(10): {chatter}\nprint('Downloading x', flush=True)"
    stream.stream([sys.executable, "-c", code])
    assert capsys.readouterr().out.split("\n") == [
        "      … 1 s",
        "      … 2 s",
        "      Downloading x",
        "",
    ]


def test_a_download_is_shown_with_its_size(capsys):
    wheel = "blake3-1.0.11-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl"
    line = f"  Downloading {wheel.replace('blake3', 'a_name_of_some_length_' * 3)} (385 kB)"
    stream.stream([sys.executable, "-c", f"print({line!r})"])
    shown = capsys.readouterr().out
    assert shown.startswith("      Downloading a_name") and shown.endswith("-1.0.11 (385 kB)\n")


def test_every_test_tool_has_one_exact_version():
    lines = install._requirements((ROOT / "requirements-dev.txt").read_text())
    assert len(lines) > 5 and all(re.fullmatch(r"[\w\[\]-]+==[\d.]+(;.*)?", one) for one in lines)


@pytest.mark.skipif(sys.platform == "win32", reason="a shell script stands for Python")
@pytest.mark.parametrize("style, tests, code", [(0, 0, 0), (1, 0, 1), (0, 2, 2), (1, 2, 2)])
def test_tests_run_whatever_the_style_check_says(tmp_path, style, tests, code):
    python = tmp_path / "python"
    cases = f'"-m ruff"*) exit {style};; "-m pytest"*) echo "ran $*"; exit {tests};;'
    python.write_text(f'#!/bin/sh\ncase "$*" in {cases} esac\n')
    python.chmod(0o755)
    done = dev("test", "tests/one.py", COMFYUI_PATH=str(HOST), COMFYUI_PYTHON=str(python), CI="")
    assert done.returncode == code
    assert done.stdout.endswith(
        "ran -m pytest -q -rfEs -n 2 --dist loadfile tests/one.py\n"
    )  # s: skips, with reasons
    assert ("matter only if you changed the code" in done.stderr) == bool(style)
    assert "mend the lines above" not in done.stderr


def test_check_hands_over_the_host_and_the_options_of_pytest(tmp_path):
    python = tmp_path / "python"
    python.write_text('#!/bin/sh\ncase "$*" in "-m "*) echo "ran $*"; exit 3;; esac\n')
    python.chmod(0o755)
    done = dev("check", "-x", COMFYUI_PATH=str(HOST), COMFYUI_PYTHON=str(python))
    assert done.returncode == 3
    assert done.stdout.endswith(f"ran -m devtools.check --host {HOST.resolve()} -x\n")


@pytest.mark.parametrize("style, types, code", [(0, 0, 0), (1, 0, 1), (0, 2, 1)])
def test_every_step_of_check_runs_and_says_how_it_went(capsys, style, types, code):
    assert check.run_all({"style": lambda: style, "types": lambda: types}) == code
    result = {0: "passed"}
    assert re.fullmatch(
        rf"style: {result.get(style, 'failed')} in \d\.\d s\n"
        rf"types: {result.get(types, 'failed')} in \d\.\d s\n",
        capsys.readouterr().out,
    )


def test_check_formats_lints_types_and_tests_and_leaves_out_what_is_slow():
    planned = check.steps(HOST, ["-x"])
    assert list(planned) == ["format", "lint", "types", "fast tests"]
    assert planned["fast tests"].args[-2:] == (f"{check.FAST} and not slow", "-x")


def plant_pack(root: Path, line: str) -> None:
    """A pack of one room, whose module knows a tool by both its names, the host and a package."""
    files = {
        "pyproject.toml": (ROOT / "pyproject.toml").read_text(encoding="utf-8"),
        "dev.py": "from devtools.tool import count\n\ncount(1)\n",
        "devtools/__init__.py": "",
        "devtools/tool.py": "def count(n: int) -> int:\n    return n\n",
        "room/__init__.py": "",
        "room/inner/__init__.py": "",
        "room/inner/part.py": "import comfy.samplers\nimport torch\n\n"
        f"from ...devtools.tool import count\n\n{line}\n",
        "tests/__init__.py": "count: int = 'tests are not typed'\n",
    }
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")


@pytest.mark.parametrize("line", ["count('one')", "comfy.samplers.KSAMPLER()", "torch.no_such"])
def test_a_type_error_is_shown_where_it_is(tmp_path, capsys, line):
    plant_pack(tmp_path, line)
    assert check.check_types(tmp_path, HOST) == 1
    first, *rest = capsys.readouterr().out.splitlines()
    assert first.startswith("room/inner/part.py:6:") and rest == ["Found 1 diagnostic"]


def test_types_that_fit_pass_in_silence(tmp_path, capsys):
    plant_pack(tmp_path, "count(torch.arange(2).ndim)")
    assert check.check_types(tmp_path, HOST) == 0
    assert capsys.readouterr().out == ""


def test_output_in_another_encoding_stops_nothing():
    said = stream.stream(
        [sys.executable, "-c", r"import sys; sys.stdout.buffer.write(b'caf\xe9\n')"]
    )
    assert said.startswith("caf")


def test_host_requirements_leave_out_what_depends_on_torch():
    text = (
        "torch\ntorchsde\nTorchVision\ntorchaudio\nkornia>=0.7.1\nspandrel\n\n# more\npydantic~=2.0"
        "  # why\n"
    )
    assert install.host_requirements(text) == ["torchsde", "pydantic~=2.0"]


def test_templates_are_a_step_of_their_own():
    text = "comfyui-frontend-package==1.47\ncomfyui-workflow-templates==0.11.27\ntorch\n"
    assert install.host_requirements(text) == ["comfyui-frontend-package==1.47"]
    assert install.templates(text) == ["comfyui-workflow-templates==0.11.27"]


def test_unpacking_keeps_inside_its_folder(tmp_path):
    (tmp_path / "file").write_text("x")
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as archive:
        for name in ("p/vendor/ComfyUI/main.py", "p/vendor/ComfyUI/../../../evil.py", "p/other.py"):
            archive.add(tmp_path / "file", name)
    with tarfile.open(tmp_path / "a.tar.gz") as archive:
        install._extract_folder(archive, "/vendor/ComfyUI/", tmp_path / "out")
    assert [path.name for path in tmp_path.rglob("*.py")] == ["main.py"]


def test_torchvision_imports_and_python_starts_without_torch():
    code = (
        "import sys; assert 'torch' not in sys.modules; import torchvision.transforms.v2,"
        " torchaudio"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_pack_is_linked_once_and_again(tmp_path):
    for _ in range(2):
        link_pack(tmp_path / "custom_nodes")
    assert (tmp_path / "custom_nodes" / "coupled" / "dev.py").read_bytes() == (
        ROOT / "dev.py"
    ).read_bytes()


def test_taken_port_is_avoided():
    import socket

    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        taken = holder.getsockname()[1]
        assert free_port(taken) not in (0, taken)


@pytest.mark.server
def test_server_that_dies_early_shows_its_log(tmp_path):
    environment = Environment(Path(sys.executable), HOST)
    with pytest.raises(HostError, match="(?s)ended while starting.*--no-such-option"):
        HostServer(environment, tmp_path, "--no-such-option").start()


@pytest.mark.server
def test_terminated_demo_leaves_no_server_behind():
    command = [
        sys.executable,
        "-m",
        "devtools.demo",
        "--host",
        HOST,
        "--workflow",
        "tests/data/page_workflow.json",
    ]
    demo = subprocess.Popen(
        list(map(str, command)), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    server, deadline = None, time.monotonic() + 60
    while server is None and time.monotonic() < deadline:
        children = psutil.Process(demo.pid).children()
        server = next((child for child in children if "--port" in child.cmdline()), None)
        time.sleep(0.1)
    demo.send_signal(signal.SIGTERM)
    _, errors = demo.communicate(timeout=30)
    assert server is not None and not server.is_running()
    assert demo.returncode == 130 and b"Stopped." in errors


INFO = {
    "Maker": {
        "display_name": "Maker",
        "input": {
            "required": {
                "model": ["MODEL", {}],
                "seed": ["INT", {}],
                "shape": ["COMFY_DYNAMICCOMBO_V3", {"options": [
                    {"key": "flat", "inputs": {}},
                    {
                        "key": "sin",
                        "inputs": {"required": {"center": ["FLOAT", {}], "k": ["FLOAT", {}]}},
                    },
                ]}],
            },
            "optional": {"steps": ["INT", {}], "name": [["a", "b"], {}]},
        },
    },
}  # fmt: skip


def workflow(values: list | dict, **node) -> dict:
    maker = {"id": 7, "type": "Maker", "widgets_values": values, "inputs": [], **node}
    return {
        "nodes": [maker, {"id": 8, "type": "Note", "widgets_values": ["hello"]}],
        "links": [[3, 9, 0, 7, 0, "INT"]],
    }


def test_widgets_get_their_values_in_order():
    prompt = to_prompt(workflow([5, "randomize", "sin", 12.0, 0.8, 30, "b"]), INFO)
    wanted = {
        "seed": 5,
        "shape": "sin",
        "shape.center": 12.0,
        "shape.k": 0.8,
        "steps": 30,
        "name": "b",
    }
    assert prompt == {"7": {"class_type": "Maker", "inputs": wanted, "_meta": {"title": "Maker"}}}
    assert to_prompt(workflow(wanted), INFO) == prompt


def test_links_replace_values_and_dead_ones_are_dropped():
    steps = [{"name": "steps", "link": 3, "widget": {"name": "steps"}}]
    source = {"id": 9, "type": "Maker", "widgets_values": [1, "fixed", "flat", 2, "a"]}
    graph = workflow([5, "fixed", "flat", 30, "b"], inputs=steps)
    assert "steps" not in to_prompt(graph, INFO)["7"]["inputs"]
    graph["nodes"].append(source)
    assert to_prompt(graph, INFO)["7"]["inputs"]["steps"] == ["9", 0]
    source["mode"] = 2
    assert list(to_prompt(graph, INFO)) == ["7"]


@pytest.mark.parametrize("values, node, said", [
    ([5, "fixed", "sin", 1.0], {}, r"node 7 \(Maker\).*'shape.k'"),
    ([5, "fixed", "cube", 1, "a"], {}, "'cube' is not a choice of its input 'shape'"),
    ([5, "sin", 12.0, 0.8, 30, "b"], {}, "after the seed 5 stands 'sin'"),
    ([], {"type": "Other"}, r"node 7 \(Other\): the server knows no such node"),
    ([], {"mode": 4}, "bypassed"),
])  # fmt: skip
def test_workflows_that_cannot_be_run_say_why(values, node, said):
    with pytest.raises(ValueError, match=said):
        to_prompt(workflow(values, **node), INFO)


def test_contact_sheet_holds_both_rows(tmp_path):
    rows = [
        ("above", [Image.new("RGB", (128, 128), "red")] * 3),
        ("below", [Image.new("RGB", (128, 64), "blue")] * 2),
    ]
    with Image.open(contact_sheet(rows, ["a fox", "an eagle"], tmp_path / "sheet.png")) as sheet:
        colours = {colour: count for count, colour in sheet.getcolors(1 << 20)}
    assert colours[255, 0, 0] == 3 * CELL * CELL and colours[0, 0, 255] == 2 * CELL * CELL // 2


def test_progress_goes_to_a_file_as_a_few_lines(tmp_path):
    prompt = {"1": {"_meta": {"title": "Sampler"}}, "2": {"_meta": {"title": "Save"}}}
    with (
        open(tmp_path / "log", "w+", encoding="utf-8") as stream,
        ProgressLine(prompt, stream) as progress,
    ):
        progress.hear("executing", {"node": "1"})
        for step in range(1, 31):
            progress.hear("progress", {"node": "1", "value": step, "max": 30})
        progress.hear("executing", {"node": None})
        progress.hear("executing", {"node": "2"})
        stream.seek(0)
        lines = stream.read().splitlines()
    assert lines[0] == "[1/2] Sampler" and lines[-1] == "[2/2] Save" and len(lines) == 6
    assert (
        lines[-2].endswith("30/30") and "\n".join(lines).isascii()
    )  # a pipe on Windows takes no blocks


@pytest.mark.parametrize("value, total, steps, said", [
    (15, 30, 30, "step 15/30"),
    (0, 30, 30, "step 0/30"),
    (3, 15, 30, "3/15"),  # a part of the schedule
    (3, 8, None, "3/8"),
    (3, 8, ["9", 0], "3/8"),
])  # fmt: skip
def test_progress_counts_the_steps_that_the_user_set(tmp_path, value, total, steps, said):
    node = {"_meta": {"title": "Sampler"}, "inputs": {} if steps is None else {"steps": steps}}
    with open(tmp_path / "log", "w+", encoding="utf-8") as stream:
        ProgressLine({"1": node}, stream).hear(
            "progress", {"node": "1", "value": value, "max": total}
        )
        stream.seek(0)
        assert stream.read() == f"[1/1] Sampler  {said}\n"
