"""The pack's imports: one direction, heavy packages late, nothing that runs text as code."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from paths import HOST, ROOT

# A room imports from rooms below it, never from one beside or above it.
LEVELS = {
    "nodes": 5,
    "dataset": 4,
    "optimize": 3,
    "baselines": 3,
    "mini": 3,
    "sampling": 2,
    "metrics": 2,
    "prompts": 2,
    "attention": 1,
    "plots": 1,
    "schedules": 0,
}
HOST_FREE = ("schedules", "prompts")
HOST_MODULES = {
    "comfy",
    "comfy_api",
    "comfy_extras",
    "comfy_execution",
    "folder_paths",
    "nodes",
    "execution",
    "server",
    "node_helpers",
    "latent_preview",
}
HEAVY = {
    "transformers",
    "segment_anything",
    "open_clip",
    "scipy",
    "matplotlib",
    "pandas",
    "pyarrow",
    "datasets",
    "webdataset",
    "ray",
    "sklearn",
    "diffusers",
    "cv2",
    "lpips",
    "requests",
    "optuna",
    "sqlalchemy",
}
NEWER_HOST = {
    "is_within_directory"
}  # what the host has had only since a release after the oldest one promised
RUNS_TEXT = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}

FILES = sorted(path for room in LEVELS for path in (ROOT / room).rglob("*.py")) + [
    ROOT / "__init__.py"
]


def room_of(path: Path) -> str:
    return path.relative_to(ROOT).parts[0]


def walk(tree: ast.AST, inside_functions: bool) -> Iterator[ast.AST]:
    """All nodes of a module; without `inside_functions` only what runs when it is imported."""
    for node in ast.iter_child_nodes(tree):
        yield node
        late = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        typing_only = isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")
        if inside_functions or not (late or typing_only):
            yield from walk(node, inside_functions)


def imports(
    path: Path, root: Path = ROOT, inside_functions: bool = True
) -> Iterator[tuple[int, str]]:
    """(line, name) of each import of a file; relative ones are named from the pack's root:
    `./room.module.name`.
    """
    package = path.relative_to(root).parent.parts
    for node in walk(ast.parse(path.read_text(encoding="utf-8")), inside_functions):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1]
            yield from (
                (node.lineno, "./" + ".".join(filter(None, (*base, node.module, alias.name))))
                for alias in node.names
            )


def breaches(path: Path, root: Path = ROOT) -> list[str]:
    """What a file does against the rules, one line each."""
    room, found = path.relative_to(root).parts[0], []
    for line, name in imports(path, root):
        top = name.removeprefix("./").split(".")[0]
        if (
            name.startswith("./")
            and room in LEVELS
            and top != room
            and LEVELS.get(top, 9) >= LEVELS[room]
        ):
            found.append(f"{path}:{line} {room} imports {top}, which is not below it")
        if not name.startswith("./") and (top == "coupled" or top in LEVELS and top != "nodes"):
            found.append(
                f"{path}:{line} imports {name} by its absolute name; the host names the pack as it"
                " likes"
            )
        if name.startswith("comfy_api.latest") and room != "nodes":
            found.append(f"{path}:{line} imports comfy_api.latest outside nodes/")
        if top in RUNS_TEXT:
            found.append(f"{path}:{line} imports {top}")
        if (
            room == "schedules"
            and not name.startswith("./")
            and top in {"requests", "PIL", "torch"}
        ):
            found.append(
                f"{path}:{line} schedules needs the standard library, numpy and scipy only, not"
                f" {top}"
            )
    for line, name in imports(path, root, inside_functions=False):
        top = name.split(".")[0]
        if room in HOST_FREE and top in HOST_MODULES | {"torch"}:
            found.append(f"{path}:{line} {room} imports {top} when it is loaded")
        if (
            top in HEAVY and room != "mini"
        ):  # mini is loaded by its node, when that runs: held by a test below
            found.append(
                f"{path}:{line} imports {top} when it is loaded; import it where it is used"
            )
    for node in walk(ast.parse(path.read_text(encoding="utf-8")), inside_functions=True):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id in ("eval", "exec", "__import__")
        ):
            found.append(f"{path}:{node.lineno} calls {node.func.id}")
        if isinstance(node, ast.Attribute) and node.attr in NEWER_HOST:
            found.append(f"{path}:{node.lineno} uses {node.attr}, which the oldest host lacks")
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_keeps_the_rules(path):
    assert breaches(path) == []


@pytest.mark.parametrize(
    "file, text, words",
    [
        ("schedules/a.py", "from ..attention import couple", "not below"),
        ("attention/a.py", "from ..nodes.theta import NODES", "not below"),
        ("metrics/a.py", "from ..mini.clip import load_mini_clip", "not below"),
        ("sampling/a.py", "def f():\n    from ..prompts import split", "not below"),
        ("attention/sub/a.py", "from ...sampling import x", "not below"),
        ("schedules/a.py", "from .. import sampling", "not below"),
        ("nodes/a.py", "from coupled.schedules import sin", "absolute"),
        ("nodes/a.py", "from schedules import sin", "absolute"),
        ("sampling/a.py", "from comfy_api.latest import io", "outside nodes"),
        ("prompts/a.py", "import torch", "when it is loaded"),
        ("prompts/a.py", "class A:\n    import comfy.utils", "when it is loaded"),
        ("schedules/a.py", "def f():\n    import torch", "numpy and scipy only"),
        (
            "schedules/a.py",
            "try:\n    from scipy.optimize import x\nexcept ImportError:\n    x = None",
            "where it is used",
        ),
        ("nodes/a.py", "def f():\n    import pickle", "imports pickle"),
        ("mini/a.py", "x = eval('1')", "calls eval"),
        (
            "nodes/a.py",
            "import folder_paths\nfolder_paths.is_within_directory('a', 'b')",
            "oldest host",
        ),
    ],
)
def test_the_rules_can_be_broken(tmp_path, file, text, words):
    path = tmp_path / file
    path.parent.mkdir(parents=True)
    path.write_text(text)
    assert any(words in breach for breach in breaches(path, tmp_path))


def test_lawful_imports_pass(tmp_path):
    path = tmp_path / "prompts" / "a.py"
    path.parent.mkdir()
    path.write_text(
        "import json\nfrom typing import TYPE_CHECKING\nfrom .split import x\nfrom ..schedules"
        " import y\nif TYPE_CHECKING:\n    import torch\ndef f():\n    import torch, requests\n   "
        " return torch.eval()\n"
    )
    assert breaches(path, tmp_path) == []


def run_apart(code: str) -> str:
    """What `code` prints in a fresh interpreter that starts in the host's folder."""
    run = subprocess.run(
        [sys.executable, "-c", code, str(ROOT), str(HOST)],
        capture_output=True,
        text=True,
        cwd=HOST,
        timeout=300,
        check=False,
    )
    assert run.returncode == 0, run.stderr[-3000:]
    return run.stdout.strip().splitlines()[-1]


LOAD_ROOT = """
import importlib.util, sys
root, host = sys.argv[1:]
sys.path.insert(0, host)
spec = importlib.util.spec_from_file_location("any_x_name", root + "/__init__.py")
pack = importlib.util.module_from_spec(spec)
sys.modules["any_x_name"] = pack
"""

# As the host does, and noting every import that a module of the pack itself asks for, loaded before
# or not.
LOAD_ALL = (
    LOAD_ROOT
    + """
import asyncio, builtins
from comfy.cli_args import args
args.cpu = True
import comfy.sd, comfy_api.latest
asked, plain = set(), builtins.__import__
def noting(name, globals=None, *rest, **named):
    if (globals or {}).get("__name__", "").startswith("any_x_name"):
        asked.add(name.split(".")[0])
    return plain(name, globals, *rest, **named)
builtins.__import__ = noting
spec.loader.exec_module(pack)
extension = asyncio.run(pack.comfy_entrypoint())
nodes = asyncio.run(extension.get_node_list())
for node in nodes:
    node.GET_SCHEMA()
print(len(nodes), *sorted(asked))
"""
)


def test_the_root_package_alone_loads_nothing():
    loaded = run_apart(
        LOAD_ROOT + "spec.loader.exec_module(pack)\nprint(*{m.split('.')[0] for m in sys.modules})"
    )
    assert not set(loaded.split()) & (HEAVY | HOST_MODULES | {"torch", "numpy", "PIL"})


@pytest.mark.slow
def test_the_loaded_pack_asked_for_no_heavy_package():
    count, *asked = run_apart(LOAD_ALL).split()
    assert int(count) > 5 and "folder_paths" in asked
    assert not set(asked) & HEAVY


def test_schedules_need_neither_torch_nor_the_host():
    code = (
        LOAD_ROOT + "pack.__path__ = [root]\nsys.path.remove(host)\nimport importlib\ns ="
        " importlib.import_module('any_x_name.schedules')\ns.from_json(s.to_json(s.sin())),"
        " s.from_values([0, 1])\nprint(*{m.split('.')[0] for m in sys.modules})"
    )
    assert not set(run_apart(code).split()) & (
        HEAVY | {"torch", "comfy", "folder_paths", "comfy_api"}
    )
