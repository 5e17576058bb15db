"""kerascale's `fit` with the callbacks that `kerascale.train` has, or with none."""

import contextlib
import pathlib
import tempfile

import numpy as np

from kerascale import run_files
from kerascale.callbacks import (
    ExportMetrics,
    SaveCheckpoints,
    SaveWeights,
    StepLosses,
    Timing,
    standard_callbacks,
)
from kerascale.checkpoint import Store, Writer
from kerascale.datasets.pipeline import Batches, gather_arrays
from kerascale.monitoring.exporting import exported

from .. import protocol
from . import asked
from .checkpointing import EVERY_STEPS
from .keras_fit import KerasFit, loss, optimizer

# An epoch is that many times the workload's: weights are saved at its end, whatever its
# length, and that of a training which is watched for hours is not some seconds.
TIMES = 4


class Watching(KerasFit):
    """kerascale on a workload, watched as the contender says."""

    def __init__(self, contender, workload):
        super().__init__("kerascale", workload)
        self._watched = contender in ("watched", "saved")
        self._saved = contender == "saved"

    def load(self):
        found = super().load()
        self._x = np.concatenate([self._x] * TIMES)
        self._y = np.concatenate([self._y] * TIMES)
        if self._saved:
            self._model.compile(
                optimizer(self._workload), loss(self._workload), metrics=["accuracy"]
            )
        return found

    def loss(self, num):
        found = super().loss(num)
        return found[0] if isinstance(found, list) else found

    def run(self, epochs):
        with contextlib.ExitStack() as stack:
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            callbacks = []
            if self._watched:
                state = stack.enter_context(exported(("127.0.0.1", 0), {}, None))
                callbacks = self._callbacks(pathlib.Path(folder), state)
            self._fit(self._x, self._y, epochs=epochs, callbacks=callbacks)
        return {}

    def _callbacks(self, folder, state):
        steps = TIMES * self._workload.steps_per_epoch
        batch_size = self._workload.batch_size
        names = {
            "history_name": run_files.HISTORY,
            "metrics_name": run_files.METRICS,
            "checkpoints_name": run_files.CHECKPOINTS,
            "tensorboard_name": run_files.TENSORBOARD,
        }
        (folder / run_files.CHECKPOINTS).mkdir()
        standard = standard_callbacks(
            folder,
            examples_per_epoch=len(self._x),
            steps_per_epoch=steps,
            has_validation=False,
            early_stopping_patience=None,
            **names,
        )
        batches = Batches(
            gather_arrays(self._x[:1], self._y[:1]), len(self._x), batch_size, 0, True
        )
        watching = [
            Timing(steps),
            StepLosses(folder / run_files.LOSSES, steps),
            ExportMetrics(state, batches),
        ]
        if not self._saved:
            kept = [each for each in standard if not isinstance(each, SaveWeights)]
            return [*kept, *watching]
        writer = Writer(Store(folder / run_files.CHECKPOINTS, keep=2))
        saver = SaveCheckpoints(writer, steps, every_steps=EVERY_STEPS)
        return [*standard, *watching, saver]


if __name__ == "__main__":
    contender, workload = asked()
    protocol.serve(Watching(contender, workload), TIMES * workload.steps_per_epoch)
