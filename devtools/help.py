"""Writes the help pages in Chinese and Japanese: `python -m devtools.help`.

They say what the nodes' own words in locales/ say. Hints and errors come from the English page, as
they are, so that nothing is missing.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from .environment import ROOT

HELP = ROOT / "web" / "docs"  # the page asks for <node>/<language>.md, then for <node>.md
HEADS = {
    "zh": {
        "inputs": "输入",
        "outputs": "输出",
        "none": "无。",
        "rest": "以下为英文。",
    },
    "ja": {
        "inputs": "入力",
        "outputs": "出力",
        "none": "なし。",
        "rest": "以下は英語です。",
    },
}


def translate_page(english: str, words: dict, heads: dict) -> str:
    """A help page in another language.

    Parameters:
        english: the English page.
        words: the node's entry in nodeDefs.json of that language.
        heads: the words around them, an entry of HEADS.
    """
    picture = re.search(r"^!\[.*?\](\(.+\))$", english, re.M)
    assert picture is not None  # a test holds that every page has one
    hints = english[english.index("## Hints") :]
    parts = [
        f"# {words['display_name']}",
        words["description"],
        f"![{words['display_name']}]{picture[1]}",
        *(part for side in ("inputs", "outputs") for part in describe(words, side, heads)),
        heads["rest"],
        hints,
    ]
    return "\n\n".join(parts)


def describe(words: dict, side: str, heads: dict) -> list[str]:
    """The inputs or the outputs: a heading and a list."""
    items = [f"- **{one['name']}**: {one['tooltip']}" for one in words.get(side, {}).values()]
    return [f"## {heads[side]}", "\n".join(items) or heads["none"]]


def translated_pages() -> dict[Path, str]:
    """{file: text} of every translated page."""
    pages = {}
    for language, heads in HEADS.items():
        file = ROOT / "locales" / language / "nodeDefs.json"
        for node, words in json.loads(file.read_text(encoding="utf-8")).items():
            english = (HELP / f"{node}.md").read_text(encoding="utf-8")
            pages[HELP / node / f"{language}.md"] = translate_page(english, words, heads)
    return pages


if __name__ == "__main__":
    for path, text in translated_pages().items():
        path.write_text(text, encoding="utf-8")
        print(path)
