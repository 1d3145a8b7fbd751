"""Writes what was found: a Markdown page with contact sheets and the trade-off curve, and its
numbers as JSON.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image

from coupled.metrics.background import background_similarity, heat_map
from devtools.sheet import contact_sheet

from ..command import write_json, write_text
from ..models import GUIDANCE
from ..sets import ABLATED, HELD_OUT, PAPER, NamedSet, select_sweep_sets
from ..store import Record, Store
from .methods import BASELINES, CURVES, MAIN, MODES, SWEEP, SWEPT, TABLE_4, Method
from .run import measure_outside_all_regions
from .scores import MEASURES, add_scores, make_rows
from .tables import describe_failures, describe_losses, format_method_table, format_sweep_table
from .trade_off import draw_trade_off, find_point

CELL = 144  # pixels of a picture on a contact sheet
HOW_TO_READ = f"""\
Numbers are mean ± standard deviation over sets and seeds; the best mean of a column is bold.

- **f_bg**: minus the mean squared difference of the visible backgrounds (Eq. 13-15), 0 is best.
  Each method is measured outside its own entities; *outside all regions* leaves out the entities of
  all methods of the table.
- **f_ti**: 100·cos of image and prompt (CLIP). **combined**: *stated* is 300·f_bg + f_ti/30,
  *tabulated* is 350·f_bg + f_ti/20 + 0.5. **R**: the visible share of the picture.
- **PSNR**, **SSIM**: of the visible background; PSNR counts at most 100 dB.
- **scored**: a set in which an entity was not found, or no background is left, gets no f_bg. f_ti
  counts all the same.
- **× nearer**: how many times nearer to 0 than f_bg of the same seed, over what both could score.
- **beats all baselines**: the sets on which the combined score, mean over the seeds, is higher than
  that of every baseline. A set that a method could not score is lost.

All methods share noise, sampler (Euler, simple), steps and guidance {GUIDANCE}. Images are measured
at 8 bits, as saved. Prompts are split by rules. Centers are in steps of 50."""


class Page:
    """The tables of one benchmark.

    folder: takes the page, and the sheets of the paper's pairs under `stem`. output: takes all
    other sheets, and the numbers.
    """

    def __init__(
        self, title: str, stem: str, sets: list[NamedSet], store: Store, folder: Path, output: Path
    ):
        self.title = title
        self.stem = stem
        self.sets = sets
        self.store = store
        self.folder = folder
        self.output = output
        names = {one.name for one in sets}
        self.by_key = {key: record for key, record in store.records().items() if key[0] in names}
        self.records = add_scores(self.by_key, measure_outside_all_regions(self.by_key, store))
        self.swept = make_rows(self.select_swept(), SWEEP)

    def write(self) -> None:
        """All files. ValueError if there is nothing to tell."""
        if not self.records:
            raise ValueError(
                "There are no results yet, so there are no tables to write. "
                + describe_failures(self.by_key.values())
            )
        self.draw()
        write_json(self.output / f"{self.stem}.json", self.numbers())
        write_text(self.folder / f"{self.stem}.md", self.markdown())

    def select(
        self, *names: str, group: str | None = None, seed: int | None = None
    ) -> list[Record]:
        """The records of some sets, or of a group, or of one seed."""
        return [
            r
            for r in self.records
            if (not names or r["set"] in names)
            and (group is None or r["group"] == group)
            and (seed is None or r["seed"] == seed)
        ]

    def groups(self) -> list[str]:
        return [group for group in (HELD_OUT, PAPER) if self.select(group=group)]

    def markdown(self) -> str:
        parts = [f"# Quality: {self.title}", self.summary(), HOW_TO_READ]
        for group in self.groups():
            rows = make_rows(self.select(group=group), MAIN)
            title = f"## All methods, {group} sets"
            parts += [title, format_method_table(rows), describe_losses(rows)]
        for one in self.sets:
            if one.group == PAPER and self.select(one.name):
                parts += self.paper_pair(one)
        parts += self.ablation("Table 4: shapes of theta", TABLE_4)
        parts += self.ablation("Modes and entity texts", MODES)
        parts += self.sweep()
        parts += ["## What failed", describe_failures(self.by_key.values())]
        return "\n\n".join(parts) + "\n"

    def summary(self) -> str:
        seeds = len({r["seed"] for r in self.records})
        counts = ", ".join(
            f"{len({r['set'] for r in self.select(group=group)})} {group}"
            for group in self.groups()
        )
        return (
            f"Made by `python3 dev.py bench quality`: {counts} sets, {seeds} seeds,"
            f" {len(self.records)} results."
        )

    def paper_pair(self, one: NamedSet) -> list[str]:
        return [
            f"### {one.name}",
            "\n".join(f"- {prompt}" for prompt in one.prompts),
            f"![Methods side by side]({self.stem}/{one.name}.jpg)",
            format_method_table(make_rows(self.select(one.name), MAIN)),
        ]

    def ablation(self, title: str, methods: Sequence[Method]) -> list[str]:
        """Some methods on the paper's pair and on the swept sets, which all of them have made;
        nothing without results.
        """
        swept = [one.name for one in select_sweep_sets(self.sets)]
        where = {f"the paper's pair {ABLATED}": self.select(ABLATED)}
        for group in self.groups():
            where[f"{group} sets"] = self.select(*swept, group=group)
        parts = []
        for name, records in where.items():
            rows = make_rows(records, methods)
            if rows:
                parts += [f"On {name}:", format_method_table(rows)]
        return [f"## {title}", *parts] if parts else []

    def sweep(self) -> list[str]:
        """Figures 8 to 10, when their results are there."""
        if not any(find_point(row) for row in self.swept):
            return []
        sheets = [(c.curve, f"{self.stem}/centers-{c.key}.jpg") for c in CURVES]
        return [
            "## Figures 8 to 10: the center swept",
            f"![Trade-off]({self.stem}/trade-off.svg)",
            *(f"![{name}]({path})" for name, path in sheets if (self.folder / path).is_file()),
            format_sweep_table(self.swept),
        ]

    def select_swept(self) -> list[Record]:
        """What the curves are drawn from: the runs that have all that any swept center has, so that
        all are alike.
        """
        made: dict[str, set] = {}
        for r in self.records:
            if r["method"] in SWEPT:
                made.setdefault(r["method"], set()).add((r["set"], r["seed"]))
        if len(made) < len(SWEPT):
            return []
        common = set.intersection(*made.values())
        shown = {*SWEPT, *(baseline.key for baseline in BASELINES)}
        return [r for r in self.records if (r["set"], r["seed"]) in common and r["method"] in shown]

    def numbers(self) -> dict:
        """All tables as JSON, and the main table of each set."""
        groups = {group: self.select(group=group) for group in self.groups()}
        tables = (("methods", MAIN), ("table 4", TABLE_4), ("modes", MODES))
        return {
            "title": self.title,
            "guidance": GUIDANCE,
            "measures": [measure.name for measure in MEASURES],
            **{
                name: {group: make_rows(records, methods) for group, records in groups.items()}
                for name, methods in tables
            },
            "sweep": self.swept,
            "sets": {
                one.name: {
                    "prompts": one.prompts,
                    "methods": make_rows(self.select(one.name), MAIN),
                }
                for one in self.sets
                if self.select(one.name)
            },
            "failed": [r for r in self.by_key.values() if "error" in r],
        }

    def draw(self) -> None:
        pictures = self.folder / self.stem
        for one in self.sets:
            folder = pictures if one.group == PAPER else self.output / self.stem
            self.draw_sheet(one, MAIN, folder / f"{one.name}.jpg")
            if one.name == ABLATED:
                for curve in CURVES:
                    centers = [method for method in SWEEP if method.curve == curve.curve]
                    self.draw_sheet(one, centers, pictures / f"centers-{curve.key}.jpg")
        if any(find_point(row) for row in self.swept):
            write_text(pictures / "trade-off.svg", self.draw_curves())

    def draw_sheet(self, one: NamedSet, methods: Sequence[Method], path: Path) -> None:
        """The set at its first seed: a column for each method that has made it, a row for each
        prompt, and below them where the backgrounds differ.
        """
        records = {r["method"]: r for r in self.select(one.name, seed=1)}
        columns = [method for method in methods if method.key in records]
        if not columns:
            return
        pictures = [self.load_pictures(one, method) for method in columns]
        headings = [*one.prompts, "Where the backgrounds differ"]
        rows = [(heading, [column[i] for column in pictures]) for i, heading in enumerate(headings)]
        captions = [f"{m.label}\n{describe_numbers(records[m.key])}" for m in columns]
        path.parent.mkdir(parents=True, exist_ok=True)
        contact_sheet(rows, captions, path, CELL)

    def load_pictures(self, one: NamedSet, method: Method) -> list[Image.Image]:
        """The images of a result, and where their backgrounds differ."""
        key = (one.name, 1, method.key)
        n = len(one.prompts)
        images_NHWC = self.store.load(key, "images", n)
        found = background_similarity(images_NHWC, self.store.load(key, "masks", n))
        difference_1HWC = heat_map(images_NHWC, found.joint_region_HW)
        return [to_picture(pixels_HWC) for pixels_HWC in [*images_NHWC, *difference_1HWC]]

    def draw_curves(self) -> str:
        curves: dict[str, list] = {}
        for row in self.swept:
            method = SWEPT[row["method"]]
            curves.setdefault(method.curve, []).append((method.center, row))
        return draw_trade_off(curves, make_rows(self.select_swept(), BASELINES))


def describe_numbers(record: Record) -> str:
    f_bg = "no number" if record["f_bg"] is None else f"{1e4 * record['f_bg']:.1f}e-4"
    return f"f_bg {f_bg}\nf_ti {record['f_ti']:.1f}"


def to_picture(pixels_HWC: torch.Tensor) -> Image.Image:
    return Image.fromarray((pixels_HWC * 255).round().byte().numpy())
