#!/usr/bin/env python3
"""Set-up, demo, tests and a local server for Coupled. Standard library only; needs Python 3.10 or
newer.

Set COMFYUI_PATH (and COMFYUI_PYTHON) to use a ComfyUI that you already have; nothing is installed
into it.
"""

import argparse
import os
import signal
import subprocess
import sys
import time

if sys.version_info < (3, 10):  # noqa: UP036  (for whoever has an older one)
    sys.exit(
        f"dev.py needs Python 3.10 or newer; this is {sys.version.split()[0]}. Try: python3.11"
        " dev.py"
    )

from devtools.browser import provide_browser
from devtools.check import FAST
from devtools.environment import (
    HOST,
    OUTPUT,
    ROOT,
    VENV,
    Environment,
    SetupError,
    lacks,
    venv_python,
)
from devtools.host import HostError, HostServer, device_options, free_port, stop_on_termination
from devtools.hosts import RELEASES, Site, find_site
from devtools.install import announce, prepare
from devtools.system import provide_packages, require_packages, will_install

BENCHES = ("dataset", "mini", "quality", "speed")
# Whole files beside each other: many tests of a file share a server or a model.
TWO_AT_ONCE = ("-n", "2", "--dist", "loadfile")
STYLE = """
The lines above are from the check of code style (ruff). They matter only if you changed the code;
`ruff check --fix` mends some. The tests run all the same.
"""


def setup(environment: Environment, options: argparse.Namespace, rest: list[str]) -> int:
    print(f"Ready: Python {environment.python}, ComfyUI {environment.host}")
    return 0


def test(environment: Environment, options: argparse.Namespace, rest: list[str]) -> int:
    """ruff, then pytest, whose closing line ends the output; what was skipped stands above it."""
    require_tools(environment, "pytest", "ruff")
    if not options.fast:
        provide_browser(environment)
        require_packages("test")
    style = hand_over([environment.python, "-m", "ruff", "check", ROOT])
    if style:
        print(STYLE, file=sys.stderr, flush=True)
    chosen = ["-m", FAST, *rest] if options.fast else rest
    variables = {"OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1")}
    if options.host:
        variables["COMFYUI_PATH"] = str(environment.host)
    command = [environment.python, "-m", "pytest", "-q", "-rfEs", *TWO_AT_ONCE, *chosen]
    tests = hand_over(command, **variables)
    if style and not tests:
        print(
            "The tests passed, the code style check did not: see its lines at the top.",
            file=sys.stderr,
        )
    return tests or style


def check(environment: Environment, options: argparse.Namespace, rest: list[str]) -> int:
    require_tools(environment, "pytest", "ruff", "ty")
    return run_module(environment, options, rest)


def require_tools(environment: Environment, *tools: str) -> None:
    if missing := lacks(environment.python, tools):
        advice = (
            f"Install them there: {environment.python} -m pip install -r"
            f" {ROOT / 'requirements-dev.txt'}"
        )
        raise SetupError("test tools", f"{environment.python} lacks {', '.join(missing)}.", advice)


def serve(environment: Environment, options: argparse.Namespace, rest: list[str]) -> int:
    """ComfyUI with the pack, for use in a browser; what is made there is kept in .host/user and
    output/.
    """
    OUTPUT.mkdir(exist_ok=True)
    flags = [
        *device_options(environment),
        "--output-directory",
        str(OUTPUT),
        "--preview-method",
        "latent2rgb",
    ]
    if environment.host != HOST and (environment.host / "models").is_dir():
        flags += ["--models-directory", str(environment.host / "models")]
    print("Starting ComfyUI …", flush=True)
    stop_on_termination()
    try:
        with HostServer(
            environment, ROOT / ".host" / "user", *flags, *rest, port=free_port(options.port)
        ) as server:
            print(
                f"ComfyUI with Coupled: {server.url}   (log: {server.log_file}; Ctrl-C stops it)",
                flush=True,
            )
            assert server.process is not None
            while server.process.poll() is None:
                time.sleep(0.5)
            raise HostError(
                f"ComfyUI ended by itself (exit code {server.process.returncode}).\n{server.tail()}"
            )
    except KeyboardInterrupt:
        print("\nStopped.")
    return 0


def run_module(environment: Environment, options: argparse.Namespace, rest: list[str]) -> int:
    words = [options.command, *([options.what] if options.command == "bench" else [])]
    command = [environment.python, "-m", MODULES[" ".join(words)], "--host", environment.host]
    return hand_over([*command, *rest])


def show_help(words: list[str]) -> int | None:
    """The help of a command that a module runs, by the module itself; nothing is installed for it.
    None if `words` ask for something else.
    """
    if not {"-h", "--help"} & set(words):
        return None
    python = venv_python(VENV) if venv_python(VENV).is_file() else sys.executable
    for count in (2, 1):
        if module := MODULES.get(" ".join(words[:count])):
            return hand_over([python, "-m", module, *words[count:]])
    return None


def hand_over(command: list, **variables: str) -> int:
    """Runs a command in this terminal to its own end: Ctrl-C is its business, and it may need time
    to clean up.
    """
    ignored = signal.signal(signal.SIGINT, lambda *_: None)
    try:
        child = subprocess.Popen(
            [str(part) for part in command], cwd=ROOT, env=os.environ | variables
        )
        signal.signal(signal.SIGTERM, lambda *_: child.terminate())
        return child.wait()
    finally:
        signal.signal(signal.SIGINT, ignored)


# What runs a command, and says what its options are.
MODULES = {
    "demo": "devtools.demo",
    "check": "devtools.check",
    "train-mini": "mini.training",
    **{f"bench {what}": f"benchmarks.{what}" for what in BENCHES},
    "optimize": "benchmarks.learn",
    "dataset": "devtools.dataset",
}
COMMANDS = {
    "setup": (setup, "install what all commands need into .venv and .host (once)"),
    "demo": (run_module, "make a coupled set with the mini model, and a same-seed set to compare"),
    "test": (test, "run the test suite; further options go to pytest"),
    "check": (
        check,
        "format, lint, types and the fast tests, in a minute; further options go to pytest",
    ),
    "train-mini": (
        run_module,
        "train the mini model again (hours); further options go to it",
    ),
    "bench": (
        run_module,
        "measure: `bench dataset`, `mini`, `quality` or `speed`; `bench mini -h` says how",
    ),
    "optimize": (
        run_module,
        "learn theta on the mini model, or help to (--worker); `optimize -h` says how",
    ),
    "dataset": (
        run_module,
        "make a data set of coupled images: `dataset make PROMPTS OUT`; `dataset make -h` says how",
    ),
    "serve": (serve, "start ComfyUI with the pack, for a browser; further options go to ComfyUI"),
}


def add_test_options(parser: argparse.ArgumentParser) -> None:
    versions = ", ".join(release.version for release in RELEASES)
    parser.add_argument(
        "--host",
        metavar="VERSION",
        help=f"test against this ComfyUI, fetched into .host/VERSION (2.3 GB): {versions}",
    )
    parser.add_argument(
        "--fast",
        action="store_true",
        help="leave out what needs a browser, a server or a package of the system",
    )


def provide(options: argparse.Namespace) -> Environment:
    """Everything that the command needs, got where it is missing."""
    command, site = options.command, chosen_site(options)
    system = not getattr(options, "fast", False)
    announce(command, system and will_install(command), site)
    if system:
        provide_packages(command)
    return prepare(command, site)


def chosen_site(options: argparse.Namespace) -> Site | None:
    version = getattr(options, "host", None)  # only `test` takes one
    return find_site(version) if version else None


def main() -> int:
    shown = show_help(sys.argv[1:])
    if shown is not None:
        return shown
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for name, (_, text) in COMMANDS.items():
        commands.add_parser(name, help=text, description=text)
    commands.choices["serve"].add_argument(
        "--port", type=int, default=8188, help="8188, or a free one if it is taken"
    )
    commands.choices["bench"].add_argument("what", choices=BENCHES)
    add_test_options(commands.choices["test"])
    options, rest = parser.parse_known_args()
    try:
        environment = provide(options)
        return COMMANDS[options.command][0](environment, options, rest)
    except SetupError as error:
        print(
            f"\nThe step '{error.step}' failed:\n{error.why}\nWhat to do: {error.advice}",
            file=sys.stderr,
        )
    except HostError as error:
        print(f"\n{error}", file=sys.stderr)
    except KeyboardInterrupt:
        print("\nStopped.", file=sys.stderr)
        return 130
    return 1


if __name__ == "__main__":
    sys.exit(main())
