"""Live progress of a running prompt: one line that is rewritten in a terminal, a few plain lines
elsewhere.
"""

from __future__ import annotations

import sys

BAR = 24


class ProgressLine:
    """Hears the server's messages (`hear`) and shows which node runs and how far it is."""

    def __init__(self, prompt: dict, stream=sys.stdout):
        self.prompt, self.stream = prompt, stream
        self.live = stream.isatty()
        self.begun: list[str] = []
        self.quarter = -1

    def __enter__(self) -> ProgressLine:
        return self

    def __exit__(self, *error) -> None:
        if self.live and self.begun:
            self.stream.write("\n")

    def hear(self, event: str, data: dict) -> None:
        """Takes one message of the run; those that say nothing about progress are passed over."""
        node = data.get("node")
        if event == "executing" and node:
            self._begin(node)
            self._show(0, 0)
        elif event == "progress" and node and node in self.prompt:
            self._begin(node)
            self._show(data["value"], data["max"])

    def _begin(self, node: str) -> None:
        if node not in self.begun:
            self.begun.append(node)
            self.quarter = -1

    def _show(self, value: float, total: float) -> None:
        quarter = int(4 * value / total) if total else 0
        if not self.live and quarter == self.quarter:
            return
        self.quarter = quarter
        title = self.prompt[self.begun[-1]]["_meta"]["title"]
        filled = round(BAR * value / total) if total else 0
        bar = f" {'█' * filled}{'░' * (BAR - filled)}" if self.live else ""  # files may lack blocks
        bar = f" {bar} {self._count(value, total)}" if total else ""
        text = f"[{len(self.begun)}/{len(self.prompt)}] {title}{bar}"
        self.stream.write(f"\r\x1b[K{text}" if self.live else f"{text}\n")
        self.stream.flush()

    def _count(self, value: float, total: float) -> str:
        """How far the node is; in its own steps where it samples."""
        steps = self.prompt[self.begun[-1]].get("inputs", {}).get("steps")
        return f"{'step ' if total == steps else ''}{value:.0f}/{total:.0f}"
