"""Where the emoji font is, of which the world's subjects are drawn."""

import os
from pathlib import Path

NAME = "NotoColorEmoji.ttf"
VARIABLE = "COUPLED_EMOJI_FONT"  # a file to take in place of the system's
# The set-up's check (devtools/system.py) cannot import this file, and looks in the same folders.
FOLDERS = ("/usr/share/fonts", "/usr/local/share/fonts", "~/.local/share/fonts", "~/.fonts")


def find_font() -> Path:
    """The font's file. FileNotFoundError that names the file, the package, and what to do."""
    if given := os.environ.get(VARIABLE):
        found = [Path(given)] if Path(given).is_file() else []
    else:
        found = [path for folder in FOLDERS for path in Path(folder).expanduser().rglob(NAME)]
    if not found:
        raise FileNotFoundError(
            f"Install the font {NAME}: on Debian and Ubuntu `sudo apt-get install"
            " fonts-noto-color-emoji`; elsewhere put the file into ~/.local/share/fonts, or name it"
            f" in the environment variable {VARIABLE}. The mini world's subjects are drawn from it;"
            f" it was not found at {given or ', '.join(FOLDERS)}."
        )
    return found[0]
