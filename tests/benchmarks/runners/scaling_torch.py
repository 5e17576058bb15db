"""PyTorch on several workers: DistributedDataParallel over gloo."""

import os

import torch

from .. import protocol
from ..workload import Workload
from . import asked, steps_of
from .torch_loop import TorchLoop, loss


class Workers(TorchLoop):
    """The same loop, each worker over its rows of every global batch."""

    def __init__(self, contender: str, workload: Workload) -> None:
        super().__init__(contender, workload)
        self._workers = int(os.environ["WORLD_SIZE"])
        self._rank = int(os.environ["RANK"])

    def load(self):
        found = super().load()
        num = steps_of(self._workload) * self._workload.batch_size
        self.x = torch.cat([self.x[:num]] * self._workers)
        self.y = torch.cat([self.y[:num]] * self._workers)
        if self._workers > 1:
            torch.distributed.init_process_group("gloo")
            self._call = torch.nn.parallel.DistributedDataParallel(
                self.model, static_graph=True, gradient_as_bucket_view=True
            )
            if self._compiled:
                self._call = torch.compile(self._call)
        return found

    def first(self, steps):
        self._steps(torch.arange(steps * self._workers * self._workload.batch_size))

    def run(self, epochs):
        for _ in range(epochs):
            # That of all workers, as a DistributedSampler has it.
            self._steps(torch.randperm(len(self.x)))
        return {}

    def _steps(self, order):
        local = self._workload.batch_size
        for batch in order.split(local * self._workers):
            indices = batch[self._rank * local :][:local]
            x, y = self.x[indices], self.y[indices]
            loss(self._workload, self._call(x), y).backward()
            self.optimizer.step()
            self.optimizer.zero_grad(set_to_none=True)


if __name__ == "__main__":
    contender, workload = asked()
    protocol.serve(Workers(contender, workload), steps_of(workload))
