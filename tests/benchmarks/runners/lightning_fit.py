"""Lightning's `Trainer.fit`, with nothing on that costs time and can be off."""

import logging

import lightning
import torch

from .. import protocol
from . import asked
from .torch_loop import TorchLoop, loss

logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)


class LightningFit(TorchLoop):
    """PyTorch's model and optimizer in a `LightningModule`."""

    def load(self):
        answer = super().load()
        self._module = _Module(self._workload, self.model, self.optimizer)
        answer["versions"]["lightning"] = lightning.__version__
        return answer

    def first(self, steps):
        self._fit(steps * self._workload.batch_size, 1, shuffle=False)

    def run(self, epochs):
        self._fit(len(self.x), epochs, shuffle=True)
        return {}

    def _fit(self, num, epochs, shuffle):
        batches = _Batches(
            self.x[:num], self.y[:num], self._workload.batch_size, shuffle
        )
        trainer = lightning.Trainer(
            accelerator="cpu",
            max_epochs=epochs,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        trainer.fit(self._module, batches)


class _Batches:
    """Batches gathered by index: a `DataLoader` would put examples together singly."""

    def __init__(self, x, y, batch_size, shuffle):
        self._x, self._y = x, y
        self._batch_size, self._shuffle = batch_size, shuffle

    def __len__(self):
        return len(self._x) // self._batch_size

    def __iter__(self):
        num = len(self._x)
        order = torch.randperm(num) if self._shuffle else torch.arange(num)
        for indices in order.split(self._batch_size):
            yield self._x[indices], self._y[indices]


class _Module(lightning.LightningModule):
    def __init__(self, workload, model, optimizer):
        super().__init__()
        self._workload, self.model, self._optimizer = workload, model, optimizer

    def training_step(self, batch, batch_index):
        x, y = batch
        return loss(self._workload, self.model(x), y)

    def configure_optimizers(self):
        # That of the fit before, with its moments.
        return self._optimizer


if __name__ == "__main__":
    contender, workload = asked()
    protocol.serve(LightningFit(contender, workload), workload.steps_per_epoch)
