"""What nodes say on themselves, by the very functions that say it, and how the page finds its own
language for that.
"""

import ast
import itertools
import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import folder_paths
import pytest
import torch

from coupled.attention.report import PassReport, Report
from coupled.nodes.background import CoupledScore, describe_backgrounds
from coupled.nodes.dataset import CoupledSaveSet
from coupled.nodes.optimize import describe_interruption
from coupled.nodes.prompts import describe_split
from coupled.nodes.said import name_unknown
from coupled.nodes.sampling import describe_run
from coupled.nodes.theta import CoupledThetaValues
from coupled.nodes.theta_files import CoupledThetaSave
from coupled.optimize import Learning, open_storage
from coupled.optimize.report import describe_progress, report
from coupled.optimize.stages import STAGES
from coupled.prompts.places import find_misplaced_place
from coupled.prompts.split import SplitPrompts
from coupled.schedules import sin

import optimize_toy
from paths import ROOT

HOLE = re.compile(r"\{(\w+)\}")
PATTERNS = {
    language: json.loads((ROOT / "locales" / language / "main.json").read_text(encoding="utf-8"))[
        "coupledSaid"
    ]
    for language in ("en", "zh", "ja")
}
SPLIT = (
    ("A park.", ("A dog runs.", "A cat sits.")),
    ("At sunset.", ("A dog on the beach.", "A cat on a sandy shore.")),
    ("A sunny day.", ("A dog on the beach.", "A cat on the beach.")),
)


def find_pattern(line: str, group: str = "lines") -> tuple[str, dict[str, str]] | None:
    """The key of the first English pattern that fits, and what is in its holes."""
    for key, pattern in PATTERNS["en"][group].items():
        parts = HOLE.split(pattern)
        made = [f"(?P<{x}>.*?)" if i % 2 else re.escape(x) for i, x in enumerate(parts)]
        if found := re.fullmatch("".join(made), line):
            return key, found.groupdict()
    return None


def translate(line: str, language: str, group: str = "lines") -> str:
    """As web/translate.js does it."""
    if (found := find_pattern(line, group)) is None:
        return line
    key, holes = found
    own = {
        name: translate(text, language, name) if name in PATTERNS["en"] else text
        for name, text in holes.items()
    }
    return PATTERNS[language][group][key].format(**own)


def patterns_of(line: str, group: str = "lines") -> set[str]:
    """The patterns that a line is made of, such as "lines.cost" and "pictures.one"."""
    if (found := find_pattern(line, group)) is None:
        return set()
    key, holes = found
    inner = [patterns_of(text, name) for name, text in holes.items() if name in PATTERNS["en"]]
    return {f"{group}.{key}"}.union(*inner)


def collect_notes(folder: Path) -> list[str]:
    """Lines of all kinds, once each; the nodes save into the folder."""
    texts = itertools.chain(
        split_notes(), run_notes(), measure_notes(), learning_notes(folder), saving_notes(folder)
    )
    return list(dict.fromkeys("\n".join(texts).split("\n")))


def shown(output) -> str:
    ui = output.ui if isinstance(output.ui, dict) else output.ui.as_dict()
    return "\n".join(ui["text"])


def split_notes() -> Iterator[str]:
    for background, entities in SPLIT:
        split = SplitPrompts(background, entities, entities)
        yield describe_split(split, find_misplaced_place(split))
    knows_nothing = SimpleNamespace(unknown_words=str.split)
    yield from name_unknown(SimpleNamespace(tokenizer=knows_nothing), ["XYLOPHONE ZEPPELIN"])


def run_notes() -> Iterator[str]:
    latents = torch.zeros(2, 4, 8, 8)
    yield from describe_run(Report(), latents, False)
    for n in (1, 2):
        own_nHW = torch.ones(n, 8, 8, dtype=torch.bool)
        one = PassReport(own_nHW, latents[:1], (0,), 30, 10, tuple(full_picture_reasons()))
        yield from describe_run(Report([one]), latents[:n], True)


def full_picture_reasons() -> Iterator[str]:
    """All that attention/ gives as one: the sentences that it returns, or assigns to a name."""
    for file in ("layout.py", "call.py"):
        for node in ast.walk(ast.parse((ROOT / "attention" / file).read_text(encoding="utf-8"))):
            if isinstance(node, ast.Return | ast.Assign):
                parts = getattr(node.value, "values", [node.value])  # of an f-string
                known = [part.value for part in parts if isinstance(part, ast.Constant)]
                text = "".join(map(str, known)) + "X" * (len(parts) - len(known))
                if " " in text:
                    yield text


def measure_notes() -> Iterator[str]:
    images = torch.rand(2, 64, 64, 3, generator=torch.Generator().manual_seed(0))
    masks = torch.zeros(2, 64, 64)
    yield describe_backgrounds(images, masks)
    masks[:, 8:24, 8:24] = 1
    yield describe_backgrounds(images, masks)
    yield describe_backgrounds(images, masks + 1)
    for f_bg, f_ti in ((-0.001, 31.0), (math.nan, 31.0), (math.nan, math.nan)):
        yield shown(CoupledScore.execute(f_bg, f_ti, "tabulated"))
    yield shown(CoupledThetaValues.execute("0, 0.5, 0.2, 1"))


def saving_notes(folder: Path) -> Iterator[str]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(folder_paths, "output_directory", str(folder))
        yield shown(CoupledThetaSave.execute(sin(4, 0.8), "THETA"))
        images = torch.zeros(2, 64, 64, 3)
        yield shown(CoupledSaveSet.execute(images, "A DOG.\nA CAT.", "SETS", 100))


def learning_notes(folder: Path) -> Iterator[str]:
    """Of a learning that may lose one set, and of one that may lose two, and loses all."""
    yield "Done."
    for gone, max_lost in ((optimize_toy.GONE, 0.25), (math.inf, 0.5)):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(optimize_toy, "GONE", gone)
            task = optimize_toy.toy_task(sets=4, candidates=5, max_lost=max_lost)
            yield from follow(Learning(task, open_storage(folder / f"{gone}.journal")))


def follow(learning: Learning) -> Iterator[str]:
    yield describe_interruption(learning, None)
    yield describe_progress(learning, None)
    heard = []
    learning.progress = lambda now: heard.append(describe_interruption(now, "THETA.JSON"))
    learning.run()
    yield from heard[:9]
    for learning.stage, seconds in zip(STAGES, itertools.cycle((60, 600)), strict=False):
        yield describe_progress(learning, seconds)
    yield report(learning)
