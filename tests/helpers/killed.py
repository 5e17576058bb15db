"""A small image classifier, to which things happen at chosen steps. For tests.

KERASCALE_TEST_EVENTS holds entries WHERE:NUMBER:WHAT, separated by commas. WHERE is
`compile` (NUMBER is 0: while the first step is compiled), `step` (batches trained) or
`validation` (batches validated in this process). WHAT is the name of a signal, to this
process or, after `group-`, to its process group; or a name of `_ACTIONS`. Only worker
KERASCALE_TEST_WORKER is meant, by default the chief; and only the first start of a job
that is started again, unless KERASCALE_TEST_ALWAYS is set.

An entry of the form START:WORKER:WHERE:NUMBER:WHAT says by itself in which start of a
job, counted from 0, and to which worker it happens.
"""

import errno
import json
import os
import pathlib
import signal
import sys
import threading
import time

import keras

import kerascale as ks
from kerascale.runtime import heartbeat

_cnn = ks.load_recipe("cnn")
Config = _cnn.Config
make_datasets = _cnn.make_datasets


def make_model(config, datasets):
    """Each kind of layer that has a state once: a process is started to be killed."""
    model = keras.Sequential(
        [
            datasets.normalization(),
            keras.layers.Conv2D(config.filters[0], 3, strides=2, activation="relu"),
            keras.layers.BatchNormalization(),
            keras.layers.Flatten(),
            ks.layers.Dropout(config.dropout),
            keras.layers.Dense(datasets.info.num_classes, activation="softmax"),
        ]
    )
    model.build((None, *datasets.info.input_shape))
    return ks.optimizers.compile_classifier(
        ks.scale(model), config, datasets.steps_per_epoch
    )


_clock = time.time


def _block(model):
    """Waits for data that never comes."""
    del model
    threading.Event().wait()


def _poison(model):
    """One weight is no number any more."""
    weights = model.trainable_variables[-1]  # A ReLU would hide it.
    values = weights.numpy()
    values.flat[0] = float("nan")
    weights.assign(values)


class _Filler:
    """Takes all room of the disk, and what becomes free of it, until it is stopped."""

    def __init__(self):
        self._path = pathlib.Path(os.environ["KERASCALE_TEST_FILLER"])
        self._is_over = threading.Event()
        self._file = open(self._path, "wb", buffering=0)
        self._fill()
        self._thread = threading.Thread(target=self._go_on, daemon=True)
        self._thread.start()

    def _fill(self):
        for size in (2**16, 2**10):
            try:
                while True:
                    self._file.write(bytes(size))
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise

    def _go_on(self):
        while not self._is_over.wait(0.005):
            self._fill()

    def stop(self):
        # What is being saved meets the full disk, however quick the steps are.
        time.sleep(2)
        self._is_over.set()
        self._thread.join()
        self._file.close()
        self._path.unlink()


_fillers = []


def _fill(model):
    del model
    _fillers.append(_Filler())


def _free(model):
    del model
    _fillers.pop().stop()


# Seconds that each step takes longer.
_delay = 0.0


def _set_delay(seconds):
    global _delay
    _delay = seconds


def _set_clock(hours):
    time.time = lambda: _clock() + 3600 * hours


_ACTIONS = {
    "block": _block,
    "poison": _poison,
    "fill": _fill,
    "free": _free,
    "pace": lambda model: _set_delay(0.05),
    "slow": lambda model: _set_delay(0.25),
    "crawl": lambda model: _set_delay(2.0),
    "clock-on": lambda model: _set_clock(1),
    "clock-back": lambda model: _set_clock(-1),
}


class Events(keras.callbacks.Callback):
    """Does to this process what the environment says."""

    def __init__(self, entries):
        super().__init__()
        self.entries = entries
        self.validated = 0
        self.has_begun = False

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_begin(self, batch, logs=None):
        if not self.has_begun:
            self.has_begun = True
            timer = threading.Timer(0.3, self.happen, ("compile", 0))
            timer.daemon = True
            timer.start()

    def on_train_batch_end(self, batch, logs=None):
        time.sleep(_delay)
        steps = self.params["steps"]
        self.happen("step", self.epoch * steps + min(batch + 1, steps))

    def on_test_batch_end(self, batch, logs=None):
        self.validated += 1
        self.happen("validation", self.validated)

    def happen(self, where, number):
        due = [entry for entry in self.entries if entry[:2] == (where, number)]
        for entry in due:
            self.entries.remove(entry)  # A run that goes back comes here again.
            self.do(entry[2])

    def do(self, what):
        print(f"{what} at {time.monotonic()}", file=sys.stderr, flush=True)
        if what in _ACTIONS:
            _ACTIONS[what](self.model)
        elif what.startswith("group-"):
            os.killpg(os.getpgrp(), getattr(signal, what.removeprefix("group-")))
        else:
            os.kill(os.getpid(), getattr(signal, what))


def make_callbacks(config):
    del config
    task = json.loads(os.environ.get("TF_CONFIG", "{}")).get("task", {"index": 0})
    restarts = sum(json.loads(os.environ.get(heartbeat.RESTARTS, "{}")).values())
    text = os.environ.get("KERASCALE_TEST_EVENTS", "")
    entries = []
    for entry in filter(None, text.split(",")):
        *whom, where, number, what = entry.split(":")
        start, worker = map(int, whom or (0, os.environ["KERASCALE_TEST_WORKER"]))
        is_now = start == restarts or os.environ.get("KERASCALE_TEST_ALWAYS")
        if is_now and worker == task["index"]:
            entries.append((where, int(number), what))
    return [Events(entries)]
