"""kerascale's `fit` with the callbacks that `kerascale.train` has, or with none."""

import contextlib
import pathlib
import random
import tempfile
import time

import numpy as np

from kerascale.callbacks import (
    ExportMetrics,
    SaveCheckpoints,
    SaveWeights,
    StepLosses,
    Timing,
    standard_callbacks,
)
from kerascale.datasets.gathers import gather_arrays
from kerascale.datasets.pipeline import Batches
from kerascale.runs import layout
from kerascale.runs.checkpoint import Store, Writer
from kerascale.runtime.prometheus.exporter import exported

from .. import protocol
from ..watching import TITLES
from . import asked
from .checkpointing import EVERY_STEPS
from .keras_fit import KerasFit, loss, optimizer

# An epoch is that many times the workload's: weights are saved at its end, whatever its
# length, and that of a training which is watched for hours is not some seconds.
TIMES = 4


class Watching(KerasFit):
    """kerascale on a workload, which trains in each of the ways in turn."""

    def __init__(self, contender, workload):
        del contender
        super().__init__("kerascale", workload)
        self._random = random.Random(0)

    def load(self):
        found = super().load()
        self._x = np.concatenate([self._x] * TIMES)
        self._y = np.concatenate([self._y] * TIMES)
        self._plain, self._measured = self._model, self._make_model()
        self._measured.compile(
            optimizer(self._workload), loss(self._workload), metrics=["accuracy"]
        )
        return found

    def run(self, epochs):
        names = sorted(TITLES)
        self._random.shuffle(names)
        return {"parts": {name: self._seconds(name, epochs) for name in names}}

    def _seconds(self, name, epochs):
        self._model = self._measured if name == "saved" else self._plain
        began = time.perf_counter()
        with contextlib.ExitStack() as stack:
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            callbacks = []
            if name != "without":
                state = stack.enter_context(exported(("127.0.0.1", 0), {}, None))
                callbacks = self._callbacks(pathlib.Path(folder), state, name)
            self._fit(self._x, self._y, epochs=epochs, callbacks=callbacks)
            return time.perf_counter() - began

    def _callbacks(self, folder, state, name):
        steps = TIMES * self._workload.steps_per_epoch
        batch_size = self._workload.batch_size
        (folder / layout.CHECKPOINTS).mkdir()
        standard = standard_callbacks(
            folder,
            examples_per_epoch=len(self._x),
            steps_per_epoch=steps,
            has_validation=False,
            early_stopping_patience=None,
        )
        batches = Batches(
            gather_arrays(self._x[:1], self._y[:1]), len(self._x), batch_size, 0, True
        )
        watching = [
            Timing(steps),
            StepLosses(folder / layout.LOSSES, steps),
            ExportMetrics(state, batches),
        ]
        if name == "watched":
            kept = [each for each in standard if not isinstance(each, SaveWeights)]
            return [*kept, *watching]
        writer = Writer(Store(folder / layout.CHECKPOINTS, keep=2))
        saver = SaveCheckpoints(writer, steps, every_steps=EVERY_STEPS)
        return [*standard, *watching, saver]


if __name__ == "__main__":
    contender, workload = asked()
    protocol.serve(Watching(contender, workload), TIMES * workload.steps_per_epoch)
