# Trains in legs: these scripts, in place of `dev.py train-mini`, for two cores and a limited time.
import sys, types, time, os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
pkg = types.ModuleType("big")
pkg.__path__ = [str(ROOT)]
sys.modules["big"] = pkg
sys.path.insert(0, str(ROOT / ".host/ComfyUI"))
sys.path.append(str(ROOT))
sys.argv, ARGS = sys.argv[:1], sys.argv[1:]
sys.argv.append("--cpu")
import comfy.options

comfy.options.enable_args_parsing()
import comfy.cli_args

sys.argv = sys.argv[:1]
import numpy as np, torch
from safetensors.torch import load_file, save_file

W = ROOT / "mini/weights"
D = ROOT / ".work/legs"
D.mkdir(parents=True, exist_ok=True)
PARTS = 14  # thousands of scenes
