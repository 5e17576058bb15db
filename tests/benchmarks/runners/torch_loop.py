"""PyTorch by hand, eager or compiled, with its fused optimizer."""

import torch
from torch.nn import functional

from .. import protocol
from ..workload import BETA_1, EPSILON, Workload
from . import asked


class TorchLoop:
    """The loop that PyTorch's users write, over tensors in memory.

    Batches are gathered by index, which is the fastest way to have them.
    """

    def __init__(self, contender: str, workload: Workload) -> None:
        self._compiled = contender == "torch-compile"
        self._workload = workload

    def load(self):
        torch.manual_seed(0)
        x, y = self._workload.data()
        self.x = torch.from_numpy(self._workload.torch_inputs(x).copy())
        self.y = torch.from_numpy(y)
        if self._workload.loss == "sparse":
            self.y = self.y.long()
        arrays = self._workload.weights()
        weights = {name: torch.from_numpy(array) for name, array in arrays.items()}
        self.model = self._workload.torch_model(torch, weights)
        trained = [p for p in self.model.parameters() if p.requires_grad]
        self.optimizer = optimizer(self._workload, trained)
        self._call = torch.compile(self.model) if self._compiled else self.model
        return {
            "parameters": sum(p.numel() for p in trained),
            "versions": {"torch": torch.__version__},
        }

    def first(self, steps):
        self._steps(torch.arange(steps * self._workload.batch_size))

    def loss(self, num):
        self.model.eval()
        with torch.no_grad():
            found = loss(self._workload, self.model(self.x[:num]), self.y[:num])
        self.model.train()
        return found.item()

    def run(self, epochs):
        for _ in range(epochs):
            self._steps(torch.randperm(len(self.x)))
        return {}

    def multiply(self):
        side = protocol.PEAK_SIDE
        a = torch.ones(side, side)
        return lambda: torch.matmul(a, a)

    def _steps(self, order):
        for indices in order.split(self._workload.batch_size):
            x, y = self.x[indices], self.y[indices]
            loss(self._workload, self._call(x), y).backward()
            self.optimizer.step()
            self.optimizer.zero_grad(set_to_none=True)


def optimizer(workload: Workload, parameters):
    """Adam or AdamW, fused."""
    options = {
        "lr": workload.learning_rate,
        "betas": (BETA_1, workload.beta_2),
        "eps": EPSILON,
        "fused": True,
    }
    if workload.weight_decay is None:
        return torch.optim.Adam(parameters, **options)
    return torch.optim.AdamW(parameters, weight_decay=workload.weight_decay, **options)


def loss(workload: Workload, logits, y):
    """The loss, from logits."""
    if workload.loss == "binary":
        return functional.binary_cross_entropy_with_logits(logits, y)
    return functional.cross_entropy(logits.flatten(0, -2), y.flatten())


if __name__ == "__main__":
    contender, workload = asked()
    protocol.serve(TorchLoop(contender, workload), workload.steps_per_epoch)
