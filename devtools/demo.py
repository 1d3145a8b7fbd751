"""The demo: the mini workflow that compares, on a real, headless server; its pictures and a contact
sheet under `output/demo`.

Run by `dev.py demo` with the host's Python: `python -m devtools.demo --host FOLDER [--workflow
FILE]`.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from .client import Client
from .environment import OUTPUT, ROOT, Environment
from .host import HostError, HostServer, run_host, stop_on_termination
from .terminal import ProgressLine
from .workflow import to_prompt

if TYPE_CHECKING:
    from PIL import Image

WORKFLOW = ROOT / "example_workflows" / "coupled_compare_mini.json"
HEADINGS = {
    "coupled": "Coupled: one background, each its own subject",
    "same_seed": "Same seed, not coupled",
}


def main() -> int:
    """Runs the demo; 0 when its pictures are saved."""
    parser = argparse.ArgumentParser(prog="dev.py demo")
    parser.add_argument("--host", type=Path, required=True, help=argparse.SUPPRESS)
    parser.add_argument(
        "--workflow", type=Path, default=WORKFLOW, help="a workflow as ComfyUI's page saves it"
    )
    options = parser.parse_args()
    stop_on_termination()
    try:
        _run(Environment(Path(sys.executable), options.host), options.workflow)
    except KeyboardInterrupt:
        print("\nStopped.", file=sys.stderr)
        return 130
    except (HostError, OSError, ValueError) as error:
        print(f"\nThe demo failed: {error}", file=sys.stderr)
        return 1
    return 0


def _run(environment: Environment, file: Path) -> None:
    workflow = json.loads(file.read_text(encoding="utf-8"))
    started = time.monotonic()
    print("Starting ComfyUI …", flush=True)
    with run_host(environment) as server:
        ready = time.monotonic()
        print(
            f"ComfyUI answers at {server.url} after {ready - started:.0f} s. Running {file.name} …",
            flush=True,
        )
        client = Client(server.url)
        prompt = to_prompt(workflow, client.object_info())
        pictures = _pictures(server, client, prompt)
        print(f"Made in {time.monotonic() - ready:.0f} s.")
    _save(pictures, _captions(prompt))


def _pictures(server: HostServer, client: Client, prompt: dict) -> dict[str, list[Image.Image]]:
    """Runs the prompt; {prefix of a Save Image node: its pictures}.

    Errors come with the end of the server's log.
    """
    with ProgressLine(prompt) as progress:
        try:
            outputs = client.queue(prompt, progress.hear, seconds=3600)
        except HostError as error:
            raise HostError(f"{error}\n{server.tail()}") from error
    pictures = {
        prompt[node]["inputs"]["filename_prefix"]: [
            _open(client, entry) for entry in found["images"]
        ]
        for node, found in outputs.items()
        if "images" in found and "filename_prefix" in prompt[node]["inputs"]
    }
    if not pictures:
        raise HostError("The workflow saved no images: it needs a Save Image node.")
    return pictures


def _open(client: Client, entry: dict) -> Image.Image:
    from PIL import Image

    return Image.open(io.BytesIO(client.file(entry)))


def _captions(prompt: dict) -> list[str]:
    """The prompts of the set, one per picture."""
    texts = [
        node["inputs"]["prompts"]
        for node in prompt.values()
        if node["class_type"] == "CoupledSplitPrompts"
    ]
    return [line.strip() for line in texts[0].splitlines() if line.strip()] if texts else []


def _save(pictures: dict[str, list[Image.Image]], captions: list[str]) -> None:
    from .sheet import contact_sheet

    folder = OUTPUT / "demo"
    folder.mkdir(parents=True, exist_ok=True)
    order = sorted(
        pictures,
        key=lambda prefix: list(HEADINGS).index(prefix) if prefix in HEADINGS else len(HEADINGS),
    )
    for prefix in order:
        for number, picture in enumerate(pictures[prefix], 1):
            path = folder / f"{Path(prefix).name}_{number}.png"
            picture.save(path)
            print(path)
    rows = [(HEADINGS.get(prefix, prefix), pictures[prefix]) for prefix in order]
    print(f"Contact sheet: {contact_sheet(rows, captions, folder / 'contact_sheet.png')}")


if __name__ == "__main__":
    sys.exit(main())
