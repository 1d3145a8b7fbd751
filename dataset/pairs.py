"""The kept sets as the folders of pairs that trainers of editing models take.

`target/NAME.png` with its caption `target/NAME.txt`, and `control/NAME.png`, the picture before.
"""

import json
from pathlib import Path

from .samples import Files, read_tar
from .store import write_aside


def write_pairs(folder: Path) -> None:
    """All pairs; the shards that were written before stay."""
    for shard in sorted((folder / "shards").glob("*.tar")):
        done = folder / "folders" / f".{shard.stem}"
        if done.exists():
            continue
        for key, files in read_tar(shard):
            write_set(folder / "folders", key, files)
        write_aside(done, b"")


def write_set(folder: Path, key: str, files: Files) -> None:
    for number, edit in enumerate(json.loads(files["json"])["edits"]):
        pair = f"{key}-{number:02}-{edit['kind']}"
        contents = {
            f"control/{pair}.png": files[f"{edit['source']}.png"],
            f"target/{pair}.png": files[f"{edit['target']}.png"],
            f"target/{pair}.txt": f"{edit['text']}\n".encode(),
        }
        for name, content in contents.items():  # copies of what the shard holds safely
            write_aside(folder / name, content, durable=False)
