"""`python -m mini --host FOLDER`: trains the mini model, on a GPU where there is one (`dev.py
train-mini`).
"""

import argparse
import sys
from pathlib import Path

MINUTES = {"codec": 60, "flow": 240, "guidance": 45, "sam": 20, "clip": 20}


def main() -> None:
    parser = argparse.ArgumentParser(prog="mini", description=__doc__)
    parser.add_argument("--host", type=Path, required=True, help="the ComfyUI folder")
    parser.add_argument(
        "--work",
        type=Path,
        default=Path(__file__).parent.parent / ".work" / "mini",
        help="scenes, checkpoints",
    )
    for stage, minutes in MINUTES.items():
        parser.add_argument(f"--{stage}-minutes", type=float, default=minutes)
    options = parser.parse_args()
    sys.path.insert(0, str(options.host))
    import torch
    from comfy.cli_args import args

    args.cpu, args.use_pytorch_cross_attention = not torch.cuda.is_available(), True
    torch.set_default_device("cpu" if args.cpu else "cuda")
    from .train import train

    options.work.mkdir(parents=True, exist_ok=True)
    train(options.work, {stage: getattr(options, f"{stage}_minutes") for stage in MINUTES})


if __name__ == "__main__":
    main()
