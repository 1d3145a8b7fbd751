"""Trains a line beside its partners: `python partner.py HOST FOLDER`, run by a test."""

import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def main(host: str, folder: Path) -> None:
    sys.path.insert(0, str(ROOT))
    from devtools.pack import load_pack

    load_pack(Path(host), cpu=True)
    import torch

    from coupled.mini.training import loop, partners
    from coupled.mini.training.optimizer import Optimizer

    partners.ROUND = 0.2
    own = partners.find_partners()
    torch.manual_seed(0)
    optimizer = Optimizer(torch.nn.Linear(2, 1, bias=False), decay=0.0)
    torch.manual_seed(own.rank)

    def batches():
        while True:  # each sees one of two inputs; only both together tell the line
            x = torch.randn(8, 1) * torch.eye(2)[own.rank]
            yield x, x @ torch.tensor([[1.0], [-2.0]])

    def loss_of(model, x, y):
        loss = (model(x) - y).square().mean()
        return loss, loss

    rate, budget = loop.Rate(0.05, warmup=5), loop.Budget(minutes=0.05)
    loop.train("line", optimizer, batches(), loss_of, rate, budget, folder / "line.pt", own)
    weight = optimizer.model.weight.detach().clone()
    torch.save({"weight": weight, "steps": optimizer.steps}, folder / f"{own.rank}.pt")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
