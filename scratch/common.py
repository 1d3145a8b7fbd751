import sys, types, time, os
pkg=types.ModuleType('big'); pkg.__path__=['/work/wt/grown']; sys.modules['big']=pkg
sys.path.insert(0,'/work/wt/grown/.host/ComfyUI'); sys.argv, ARGS = sys.argv[:1], sys.argv[1:]
sys.argv.append('--cpu')
import comfy.options; comfy.options.enable_args_parsing()
import comfy.cli_args
sys.argv, ARGS = sys.argv[:1], ARGS
import numpy as np, torch
from pathlib import Path
from safetensors.torch import load_file
W=Path('/work/wt/grown/mini/weights'); D=Path('/work/train')
