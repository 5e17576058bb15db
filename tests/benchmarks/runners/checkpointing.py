"""kerascale's `fit` with its own callback that saves, or with none that does."""

import pathlib
import shutil
import tempfile
import time

import keras

from kerascale.callbacks import SaveCheckpoints
from kerascale.runs.checkpoint import Store, Writer

from .. import protocol
from . import asked
from .keras_fit import KerasFit

EVERY_STEPS = 100


class Checkpointing(KerasFit):
    """kerascale on a workload; the contender `saving` saves every so many steps."""

    def __init__(self, contender, workload):
        super().__init__("kerascale", workload)
        self._is_saving = contender == "saving"

    def run(self, epochs):
        folder = pathlib.Path(tempfile.mkdtemp(prefix="kerascale-checkpoints-"))
        try:
            return self._run(epochs, folder)
        finally:
            shutil.rmtree(folder)

    def _run(self, epochs, folder):
        saver = None
        writer = _TimedWriter(_TimedStore(folder, keep=2))
        if self._is_saving:
            saver = SaveCheckpoints(
                writer, self._workload.steps_per_epoch, every_steps=EVERY_STEPS
            )
        clock = _Clock(saver, writer)
        self._fit(self._x, self._y, epochs=epochs, callbacks=[clock])
        writes = writer.store.writes
        return {
            "intervals": [
                (steps, end - begin, _overlap(begin, end, writes))
                for steps, begin, end in clock.intervals
            ],
            "copies": clock.copies,
            "waits": writer.waits,
            "writes": [
                {"seconds": end - begin, "processor_seconds": processor}
                for begin, end, processor in writes
            ],
        }


class _TimedStore(Store):
    """Remembers when it wrote, and how much of a processor the thread took."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.writes = []

    def save(self, *arguments):
        began, used = time.perf_counter(), time.thread_time()
        try:
            return super().save(*arguments)
        finally:
            times = (began, time.perf_counter(), time.thread_time() - used)
            self.writes.append(times)


class _TimedWriter(Writer):
    """Remembers how long it held up the training."""

    def __init__(self, store):
        super().__init__(store)
        self.store = store
        self.waits = []
        self._waited = 0.0

    def make_room(self):
        self._waited = super().make_room()
        return self._waited

    def submit(self, *arguments):
        self.waits.append(self._waited + super().submit(*arguments))
        self._waited = 0.0
        return self.waits[-1]


class _Clock(keras.callbacks.Callback):
    """The saver's calls, with a clock around them and one between them."""

    def __init__(self, saver, writer):
        super().__init__()
        self._saver, self._writer = saver, writer
        self.intervals, self.copies = [], []

    def set_model(self, model):
        super().set_model(model)
        if self._saver is not None:
            self._saver.set_model(model)

    def on_train_begin(self, logs=None):
        self._tell("on_train_begin", logs)

    def on_epoch_begin(self, epoch, logs=None):
        self._tell("on_epoch_begin", epoch, logs)
        self._done, self._begin = 0, time.perf_counter()

    def on_train_batch_begin(self, batch, logs=None):
        self._tell("on_train_batch_begin", batch, logs)

    def on_train_batch_end(self, batch, logs=None):
        end, saves = time.perf_counter(), len(self._writer.waits)
        self.intervals.append((batch + 1 - self._done, self._begin, end))
        self._tell("on_train_batch_end", batch, logs)
        self._done, self._begin = batch + 1, time.perf_counter()
        if len(self._writer.waits) > saves:
            # What held the training up is not the copy's.
            self.copies.append(self._begin - end - self._writer.waits[-1])

    def on_epoch_end(self, epoch, logs=None):
        self._tell("on_epoch_end", epoch, logs)

    def on_train_end(self, logs=None):
        self._tell("on_train_end", logs)

    def _tell(self, name, *arguments):
        if self._saver is not None:
            getattr(self._saver, name)(*arguments)


def _overlap(begin, end, writes):
    return sum(max(0.0, min(end, w[1]) - max(begin, w[0])) for w in writes)


if __name__ == "__main__":
    contender, workload = asked()
    protocol.serve(Checkpointing(contender, workload), workload.steps_per_epoch)
