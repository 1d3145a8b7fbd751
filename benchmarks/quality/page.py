"""Writes what was found: a Markdown page, the same as JSON, contact sheets and the trade-off
curve.
"""

from __future__ import annotations

import json
from pathlib import Path

from ..sets import ABLATED, HELD_OUT, PAPER, PromptSet, sweep_sets
from ..store import Record, Store
from .methods import BASELINES, CURVES, MAIN, MODES, SWEEP, TABLE_4, Coupled, Method
from .pictures import contact_sheet, point, trade_off
from .run import GUIDANCE, outside_all_regions
from .tables import MEASURES, enriched, failures, losses, method_table, rows, sweep_table

SWEPT = {method.key: method for method in SWEEP}

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

    `docs` takes the page and the paper's pairs, `output` all other sheets.
    """

    def __init__(
        self, title: str, stem: str, sets: list[PromptSet], store: Store, docs: Path, output: Path
    ):
        self.title, self.stem, self.sets, self.store, self.docs, self.output = (
            title,
            stem,
            sets,
            store,
            docs,
            output,
        )
        names = {one.name for one in sets}
        self.by_key = {key: record for key, record in store.records().items() if key[0] in names}
        self.records = enriched(self.by_key, outside_all_regions(self.by_key, store))

    def write(self) -> None:
        """All files. ValueError when there is nothing to tell."""
        if not self.records:
            raise ValueError(
                "There are no results yet, so there are no tables to write. "
                + failures(self.by_key.values())
            )
        self.docs.mkdir(parents=True, exist_ok=True)
        self.draw()
        (self.docs / f"{self.stem}.json").write_text(
            json.dumps(self.numbers(), indent=1) + "\n", encoding="utf-8"
        )
        (self.docs / f"{self.stem}.md").write_text(self.markdown(), encoding="utf-8")

    def of(self, *names: str, group: str | None = None, seed: int | None = None) -> list[Record]:
        """The records of some sets, or of a group, or of one seed."""
        return [
            r
            for r in self.records
            if (not names or r["set"] in names)
            and (group is None or r["group"] == group)
            and (seed is None or r["seed"] == seed)
        ]

    def groups(self) -> list[str]:
        return [group for group in (HELD_OUT, PAPER) if self.of(group=group)]

    # --- the page ---

    def markdown(self) -> str:
        parts = [f"# Quality: {self.title}", self.summary(), HOW_TO_READ]
        for group in self.groups():
            parts += [
                f"## All methods, {group} sets",
                method_table(rows(self.of(group=group), MAIN)),
                losses(rows(self.of(group=group), MAIN)),
            ]
        for one in (s for s in self.sets if s.group == PAPER and self.of(s.name)):
            sheet = f"![Methods side by side]({self.stem}/{one.name}.jpg)"
            parts += [
                f"### {one.name}",
                "\n".join(f"- {prompt}" for prompt in one.prompts),
                sheet,
                method_table(rows(self.of(one.name), MAIN)),
            ]
        parts += self.ablations() + ["## What failed", failures(self.by_key.values())]
        return "\n\n".join(parts) + "\n"

    def summary(self) -> str:
        seeds = len({r["seed"] for r in self.records})
        counts = ", ".join(
            f"{len({r['set'] for r in self.of(group=group)})} {group}" for group in self.groups()
        )
        return (
            f"Made by `python3 dev.py bench quality`: {counts} sets, {seeds} seeds,"
            f" {len(self.records)} results."
        )

    def ablations(self) -> list[str]:
        """The paper's Table 4 and Figures 8 to 10, and modes and entity texts; what has no results
        is left out.
        """
        swept = [
            one.name for one in sweep_sets(self.sets)
        ]  # all methods here have made these, so they compare
        parts, where = [], [(f"the paper's pair {ABLATED}", self.of(ABLATED))]
        where += [(f"{group} sets", self.of(*swept, group=group)) for group in self.groups()]
        for title, methods in (
            ("Table 4: shapes of theta", TABLE_4),
            ("Modes and entity texts", MODES),
        ):
            found = [(name, rows(records, methods)) for name, records in where]
            parts += [f"## {title}"] * any(table for _, table in found)
            for name, table in found:
                parts += [f"On {name}:", method_table(table)] if table else []
        swept = rows(self.swept(), SWEEP)
        if any(point(row) for row in swept):
            parts += [
                "## Figures 8 to 10: the center swept",
                f"![Trade-off]({self.stem}/trade-off.svg)",
                *(
                    f"![{curve.curve}]({self.stem}/centers-{curve.key}.jpg)"
                    for curve in self.drawn_curves()
                ),
                sweep_table(swept, curve_of),
            ]
        return parts

    def swept(self) -> list[Record]:
        """What the curves are drawn from: the runs that have all that any swept center has, so that
        all are alike.
        """
        made: dict[str, set] = {}
        for r in self.records:
            if r["method"] in SWEPT:
                made.setdefault(r["method"], set()).add((r["set"], r["seed"]))
        common = set.intersection(*made.values()) if len(made) == len(SWEPT) else set()
        rivals = {baseline.key for baseline in BASELINES}
        return [
            r
            for r in self.records
            if (r["set"], r["seed"]) in common and (r["method"] in SWEPT or r["method"] in rivals)
        ]

    def drawn_curves(self) -> list[Coupled]:
        return [
            curve
            for curve in CURVES
            if (self.docs / self.stem / f"centers-{curve.key}.jpg").is_file()
        ]

    # --- the numbers ---

    def numbers(self) -> dict:
        """All tables as JSON, and the main table of each set."""
        groups = {group: self.of(group=group) for group in self.groups()}
        tables = (("methods", MAIN), ("table 4", TABLE_4), ("modes", MODES))
        return {
            "title": self.title,
            "guidance": GUIDANCE,
            "measures": [measure.name for measure in MEASURES],
            **{
                name: {group: rows(records, methods) for group, records in groups.items()}
                for name, methods in tables
            },
            "sweep": rows(self.swept(), SWEEP),
            "sets": {
                one.name: {"prompts": one.prompts, "methods": rows(self.of(one.name), MAIN)}
                for one in self.sets
                if self.of(one.name)
            },
            "failed": [r for r in self.by_key.values() if "error" in r],
        }

    # --- the pictures ---

    def draw(self) -> None:
        pictures = self.docs / self.stem
        for one in self.sets:
            folder = pictures if one.group == PAPER else self.output
            self.sheet(one, MAIN, folder / f"{one.name}.jpg")
            if one.name == ABLATED:
                for curve in CURVES:
                    centers = [method for method in SWEEP if method.curve == curve.curve]
                    self.sheet(one, centers, pictures / f"centers-{curve.key}.jpg")
        swept = rows(self.swept(), SWEEP)
        if any(point(row) for row in swept):
            pictures.mkdir(exist_ok=True)
            (pictures / "trade-off.svg").write_text(self.curves(), encoding="utf-8")

    def sheet(self, one: PromptSet, methods: list[Method] | tuple[Method, ...], path: Path) -> None:
        """The set at its first seed, with the methods that have made it."""
        records = {r["method"]: r for r in self.of(one.name, seed=1)}
        columns = [(method, records[method.key]) for method in methods if method.key in records]
        if columns:
            contact_sheet(self.store, one, 1, columns, path)

    def curves(self) -> str:
        records, lines = self.swept(), {}
        for row in rows(records, SWEEP):
            curve, center = curve_of(row["method"])
            lines.setdefault(curve, []).append((center, row))
        return trade_off(lines, rows(records, BASELINES))


def curve_of(key: str) -> tuple[str, float]:
    """The curve and center of a swept method."""
    return SWEPT[key].curve, SWEPT[key].center
