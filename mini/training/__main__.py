"""`python -m mini.training --host FOLDER`: trains the mini models, on a GPU where there is one
(`dev.py train-mini`).
"""

import argparse
import importlib
import sys
from pathlib import Path

from devtools.environment import ROOT
from devtools.pack import load_pack

MINUTES = {
    "codec": 60,
    "small": 150,
    "flow": 90,
    "turbo": 30,
    "sam": 20,
    "clip": 20,
}


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="mini.training", description=__doc__)
    parser.add_argument("--host", type=Path, required=True, help="the ComfyUI folder")
    parser.add_argument(
        "--work", type=Path, default=ROOT / ".work" / "mini", help="scenes, checkpoints"
    )
    parser.add_argument(
        "--processes",
        type=int,
        help="how many train the flow and the LoRA side by side (one for each core; on a GPU one)",
    )
    parser.add_argument("--only", choices=MINUTES, help=argparse.SUPPRESS)
    for stage, minutes in MINUTES.items():
        parser.add_argument(f"--{stage}-minutes", type=float, default=minutes, metavar="MINUTES")
        parser.add_argument(
            f"--{stage}-steps", type=int, metavar="STEPS", help="in place of the minutes"
        )
    return parser.parse_args(arguments)


def main() -> int:
    options = parse(sys.argv[1:])
    load_pack(options.host)
    import torch
    from comfy.cli_args import args

    args.use_pytorch_cross_attention = True
    torch.set_default_device("cpu" if args.cpu else "cuda")
    # By the name that load_pack gave the pack: its rooms import each other.
    training = importlib.import_module("coupled.mini.training.train")
    options.work.mkdir(parents=True, exist_ok=True)
    given = vars(options)
    budgets = {
        stage: training.Budget(given[f"{stage}_minutes"], given[f"{stage}_steps"])
        for stage in MINUTES
    }
    processes = options.processes or (torch.get_num_threads() if args.cpu else 1)
    stages = training.Stages(options.work, budgets, processes=processes)
    if options.only:  # this process is one of several
        partners = importlib.import_module("coupled.mini.training.partners")
        stages.take_part(options.only, partners.find_partners())
    else:
        training.train_all(stages)
    return 0


if __name__ == "__main__":
    sys.exit(main())
