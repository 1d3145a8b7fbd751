"""What the commands share: the host, and where their pages go.

A command writes into output/. docs/, which git keeps, is written only when asked for.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from devtools.environment import OUTPUT, ROOT


def add_page_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--host", type=Path, required=True, help=argparse.SUPPRESS)
    parser.add_argument(
        "--output", type=Path, default=OUTPUT, help="where the page, pictures and numbers go"
    )
    parser.add_argument(
        "--update-docs",
        action="store_true",
        help="write the page and its pictures into docs/ instead; numbers stay in output/",
    )
    parser.add_argument("--docs", type=Path, default=ROOT / "docs", help=argparse.SUPPRESS)


def choose_page_folder(options: argparse.Namespace, interrupted: bool = False) -> Path:
    """Where the page goes: an interrupted run never rewrites docs/."""
    return options.docs if options.update_docs and not interrupted else options.output


def write_text(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8", newline="\n")


def write_json(path: Path, numbers: dict) -> None:
    write_text(path, json.dumps(numbers, indent=1) + "\n")
