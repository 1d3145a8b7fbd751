"""Where the emoji font is, of which the world's subjects are drawn."""

import os
from pathlib import Path

NAME = "NotoColorEmoji.ttf"
VARIABLE = "COUPLED_EMOJI_FONT"  # a file to take in place of the system's
FOLDERS = (
    "/usr/share/fonts/truetype/noto",  # Debian, Ubuntu
    "/usr/share/fonts/noto",  # Arch
    "/usr/share/fonts/google-noto-emoji",  # Fedora
    "/usr/local/share/fonts",
    "~/.local/share/fonts",
    "~/.fonts",
    "~/Library/Fonts",
    "/Library/Fonts",
)


def find_font() -> Path:
    """The font's file. FileNotFoundError that names the file, the package, and what to do."""
    given = os.environ.get(VARIABLE)
    places = [Path(given)] if given else [Path(f, NAME).expanduser() for f in FOLDERS]
    for path in places:
        if path.is_file():
            return path
    raise FileNotFoundError(
        f"Install the font {NAME}: on Debian and Ubuntu `sudo apt-get install"
        f" fonts-noto-color-emoji`; elsewhere put the file into ~/.local/share/fonts, or name it in"
        f" the environment variable {VARIABLE}. The mini world's subjects are drawn from it; it was"
        f" looked for at {', '.join(map(str, places))}."
    )
