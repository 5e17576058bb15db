"""Steps on rows that Python reads: ahead, on replicas, with named errors."""

import dataclasses
import pathlib
import time

import keras
import numpy as np
import pytest
import tensorflow as tf

import kerascale as ks
from kerascale.datasets import gathers, pipeline
from kerascale.datasets.host_rows import HostRows, RowError
from kerascale.engine.data import waits
from kerascale.engine.execution import step_functions
from kerascale.engine.execution.modes import Mode

_ROWS, _BATCH = 70, 8
_PROGRAM = Mode("one_program", 3)
_SLOW = pytest.mark.slow


class _Rows:
    """Features and labels; what each process reads is noted."""

    def __init__(self, bad=None, seconds=0.0):
        generator = np.random.default_rng(0)
        self.x = generator.normal(size=(_ROWS, 4)).astype(np.float32)
        self.y = generator.integers(0, 3, _ROWS)
        self.bad, self.seconds, self.read = bad, seconds, []
        specs = [tf.TensorSpec([4], tf.float32), tf.TensorSpec([], tf.int64)]
        self.host = HostRows(self._read, specs, num_threads=2)

    def _read(self, rows):
        time.sleep(self.seconds)
        self.read += rows.tolist()
        if self.bad in rows:
            raise RowError(f"row {self.bad} is bad")
        return [self.x[rows], self.y[rows]]

    def batches(self):
        return pipeline.Batches(
            lambda indices, epoch: tuple(self.host(indices)),
            num_examples=_ROWS,
            batch_size=_BATCH,
            seed=1,
            shuffle=True,
            host=self.host,
        )

    def in_memory(self):
        gather = gathers.gather_arrays(self.x, self.y)
        return dataclasses.replace(self.batches(), gather=gather, host=None)


def _model():
    keras.utils.set_random_seed(3)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, "softmax")])
    model = ks.scale(model)
    model.compile("sgd", "sparse_categorical_crossentropy", steps_per_execution=3)
    return model


def _fitted(data, mode, epochs=3):
    model = _model()
    if mode is not None:
        step_functions.set_mode(model, mode)
    history = model.fit(data, epochs=epochs, verbose=0).history
    return history["loss"], model.get_weights(), step_functions.mode_of(model)


@pytest.mark.parametrize(
    "mode",
    [
        _PROGRAM,
        pytest.param(None, marks=_SLOW),
        pytest.param(Mode("split", 3), marks=_SLOW),
    ],
)
def test_steps_are_those_on_arrays(mode):
    rows = _Rows()
    ours, theirs = _fitted(rows.batches(), mode), _fitted(rows.in_memory(), mode)
    assert ours[2] == theirs[2]
    assert ours[0] == theirs[0]
    for one, other in zip(ours[1], theirs[1], strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("mode", [None, pytest.param(_PROGRAM, marks=_SLOW)])
def test_a_row_that_cannot_be_read_is_named(mode):
    with pytest.raises(RowError, match="row 33 is bad"):
        _fitted(_Rows(bad=33).batches(), mode)


def test_a_fit_goes_on_at_any_step():
    rows = _Rows()
    whole = [y.numpy().tolist() for _, y in rows.batches().dataset(2)]
    later = [y.numpy().tolist() for _, y in rows.batches().dataset(2, start_step=11)]
    assert later == whole[11:]


_ON_REPLICAS = """
import sys
import tensorflow as tf

cpu = tf.config.list_physical_devices("CPU")[0]
two = [tf.config.LogicalDeviceConfiguration()] * 2
tf.config.set_logical_device_configuration(cpu, two)
sys.path.insert(0, sys.argv[1])
from test_host_rows import _BATCH, _ROWS, _Rows, _model

strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
rows, alone = _Rows(), _Rows()
with strategy.scope():
    model = _model()
losses = model.fit(rows.batches(), epochs=1, verbose=0).history["loss"]
assert sorted(set(rows.read)) == list(range(_ROWS))
# No row for two replicas; some are looked at before the first step.
assert len(rows.read) <= _ROWS + 3 * _BATCH, len(rows.read)
print(losses[0])
"""


@pytest.mark.slow
def test_each_replica_reads_its_own_rows(run_python):
    finished = run_python(_ON_REPLICAS, pathlib.Path(__file__).parent)
    (loss,) = _fitted(_Rows().in_memory(), None, epochs=1)[0]
    assert abs(float(finished.stdout.split()[-1]) - loss) < 1e-6


@pytest.mark.parametrize("mode", [None, pytest.param(_PROGRAM, marks=_SLOW)])
def test_steps_that_wait_are_counted(mode):
    _fitted(_Rows().batches(), mode)
    before = waits.seconds()
    _fitted(_Rows().batches(), mode)
    quick, before = waits.seconds() - before, waits.seconds()
    began = time.perf_counter()
    _fitted(_Rows(seconds=0.02).batches(), mode)
    took, slow = time.perf_counter() - began, waits.seconds() - before
    assert quick < slow <= took
    assert slow > 0.1
