"""What moves the weights in a training, and averages them."""

from collections.abc import Callable

import torch

BETAS = (0.9, 0.98)
MUON_DECAY = 0.01
MOMENTUM = 0.95
NEWTON_SCHULZ = (3.4445, -4.775, 2.0315)
NEWTON_SCHULZ_STEPS = 4
LONGEST_GRADIENT = 1.0


class Muon(torch.optim.Optimizer):
    """Muon (Jordan et al. 2024), its steps as long as AdamW's: torch's own computes in bfloat16,
    which many CPUs only emulate.
    """

    def __init__(self, matrices: list[torch.Tensor], decay: float):
        super().__init__(matrices, {"lr": 0.0, "decay": decay})

    @torch.no_grad()
    def step(self, closure=None) -> None:
        for group in self.param_groups:
            for p in group["params"]:
                memory = self.state[p].setdefault("memory", torch.zeros_like(p))
                memory.lerp_(p.grad, 1 - MOMENTUM)
                direction = orthogonalize(p.grad.lerp(memory, MOMENTUM))
                p.mul_(1 - group["lr"] * group["decay"])
                p.add_(direction, alpha=-group["lr"] * 0.2 * max(p.shape) ** 0.5)


def orthogonalize(matrix: torch.Tensor) -> torch.Tensor:
    """The matrix with singular values of about 1, by Newton-Schulz steps: polynomials of x xᵀ,
    which is small. Only it is multiplied until the end.
    """
    x = matrix.T if matrix.shape[0] > matrix.shape[1] else matrix
    x = x / (x.norm() + 1e-7)
    a, b, c = NEWTON_SCHULZ
    identity = torch.eye(len(x), dtype=x.dtype, device=x.device)
    square, product = x @ x.T, identity
    for _ in range(NEWTON_SCHULZ_STEPS):
        step = a * identity + b * square + c * square @ square
        square, product = step @ square @ step, step @ product
    x = product @ x
    return x.T if matrix.shape[0] > matrix.shape[1] else x


class Optimizer:
    """Muon for the matrices whose names `is_matrix` picks, AdamW for all else.

    Both move float32 copies, because a model in bfloat16 would lose small steps. `memory`: the
    share of the moving average that a step keeps; less at first, when the average is young.
    """

    def __init__(
        self,
        model: torch.nn.Module,
        decay: float,
        is_matrix: Callable[[str], bool] | None = None,
        memory: float = 0.998,
        youth: int = 20,
    ):
        self.model = model
        self.memory = memory
        self.youth = youth
        self.steps = 0
        self.weights = {n: p for n, p in model.named_parameters() if p.requires_grad}
        self.copies = {n: trainable_copy(p) for n, p in self.weights.items()}
        self.average = {n: c.detach().clone() for n, c in self.copies.items()}
        matrices = [c for n, c in self.copies.items() if is_matrix and c.ndim == 2 and is_matrix(n)]
        chosen = {id(c) for c in matrices}
        rest = [c for c in self.copies.values() if id(c) not in chosen]
        adam = torch.optim.AdamW(rest, betas=BETAS, weight_decay=decay)
        self.parts: list[torch.optim.Optimizer] = [adam]
        if matrices:
            self.parts.append(Muon(matrices, MUON_DECAY))

    def step(self, rate: float) -> None:
        """One step at this learning rate; the gradients are spent."""
        for copy, weight in zip(self.copies.values(), self.weights.values(), strict=True):
            copy.grad = None if weight.grad is None else weight.grad.float()
            weight.grad = None
        copies = list(self.copies.values())
        torch.nn.utils.clip_grad_norm_(copies, LONGEST_GRADIENT)
        for part in self.parts:
            for group in part.param_groups:
                group["lr"] = rate
            part.step()
        self.copy_to_model()
        self.update_average()

    @torch.no_grad()
    def load(self, copies: list[torch.Tensor]) -> None:
        """Go on from these weights, in the order of `copies`."""
        torch._foreach_copy_(list(self.copies.values()), copies)
        self.copy_to_model()

    @torch.no_grad()
    def copy_to_model(self) -> None:
        torch._foreach_copy_(list(self.weights.values()), list(self.copies.values()))

    @torch.no_grad()
    def update_average(self) -> None:
        self.steps += 1
        share = 1 - min(self.memory, self.steps / (self.steps + self.youth))
        torch._foreach_lerp_(list(self.average.values()), list(self.copies.values()), share)

    def average_state(self) -> dict[str, torch.Tensor]:
        """The model's state on the CPU with the averages in place of its weights."""
        state = {**self.model.state_dict(), **self.average}
        return {name: value.detach().cpu().clone() for name, value in state.items()}


def trainable_copy(weight: torch.Tensor) -> torch.Tensor:
    return weight.detach().float().clone().requires_grad_(True)
