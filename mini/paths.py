"""Where the trained weights lie."""

from pathlib import Path

WEIGHTS = Path(__file__).parent / "weights"
LORA = Path(__file__).parent / "loras" / "mini_turbo.safetensors"  # with it, four steps are enough
