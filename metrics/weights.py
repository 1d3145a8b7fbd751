"""Reading files of weights, with a plain word where a file is something else."""

from pathlib import Path

import comfy.utils
import torch

LOOKED_AT = 512  # bytes at the start of a file
LFS_POINTER = "version https://git-lfs"


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    """The weights in a .safetensors or .pth file; no code in the file is run.

    ValueError if it cannot be read, with what it is instead where that is known.
    """
    with path.open("rb") as file:
        other = describe_text(file.read(LOOKED_AT))
    if other:
        raise ValueError(f"{path.name} cannot be read as weights: {other}")
    try:
        return comfy.utils.load_torch_file(str(path), safe_load=True)
    except Exception as error:  # the readers raise many kinds
        # The first sentence alone: torch goes on to recommend loading without its safeguard.
        reason = (str(error).strip() or type(error).__name__).splitlines()[0].split(". ")[0][:200]
        raise ValueError(
            f"{path.name} cannot be read as weights: it is damaged, or of another kind. Download"
            f" it again. ({reason})"
        ) from error


def describe_text(start: bytes) -> str:
    """What a file is that begins with text, and the cure; nothing for one that may be weights."""
    text = start.decode("utf-8", errors="ignore").lstrip("\ufeff \t\r\n")
    if not start:
        return "it is empty. Download it again."
    if any(byte < ord("\t") for byte in start):
        return ""
    if text.startswith("<"):
        return (
            "it is a web page, saved under this name. Download the file itself, with the download"
            " button of the model's page."
        )
    if text.startswith(LFS_POINTER):
        return "it is only Git's pointer to them. Fetch the file with `git lfs pull`."
    return f"it is a text ('{text[:60].strip()}'). Download it again."
