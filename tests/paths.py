"""Where the tests find things."""

import os
from pathlib import Path

TESTS = Path(__file__).resolve().parent
ROOT = TESTS.parent
DATA = TESTS / "data"
HOST = Path(os.environ.get("COMFYUI_PATH") or ROOT / ".host" / "ComfyUI")
