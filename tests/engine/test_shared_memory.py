"""How workers of one host sum gradients, as a user meets it."""

import pathlib
import signal

import pytest
import tensorflow as tf
from helpers import plain_workers

from kerascale.strategies.shared_memory import shared_sum

WORKER = pathlib.Path(__file__).parents[1] / "helpers" / "shared_memory_worker.py"
SAID = "all-reduce: shared memory"


def workers(*arguments, ways, **more):
    return plain_workers.run(WORKER, *arguments, ways=ways, **more)


@pytest.mark.slow
def test_two_models_in_turn_and_a_worker_that_is_killed_in_a_sum():
    (code, ours, told), (killed, theirs, _) = workers("kill", ways=["", ""])
    assert ours == theirs
    few, many = (line.split() for line in ours.splitlines())
    # No step is traced once more for what the first one of a process needs.
    assert few[2] == many[2]
    before, after = told.split("trained 8\n")
    assert before.count(SAID) == after.count(SAID) == 1
    assert killed == -signal.SIGKILL
    assert code not in (0, None)
    assert "worker 1 (process " in after
    assert "is gone" in after


@pytest.mark.slow
def test_two_workers_have_the_bits_of_tensorflows_own_sum():
    ours, theirs = (workers(ways=[way, way]) for way in ("shared_memory", "tensorflow"))
    assert ours[0][1] == theirs[0][1] != ""
    assert SAID in ours[0][2]
    assert SAID not in theirs[0][2]


@pytest.mark.slow
def test_three_workers_have_the_same_bits_again():
    first, second = (workers(ways=[""] * 3) for _ in range(2))
    assert len({out for _, out, _ in [*first, *second]}) == 1
    assert SAID in first[0][2]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("ways", "expected"),
    [
        (
            ["tensorflow", "shared_memory"],
            "expected the same on all workers. Received: tensorflow, shared_memory",
        ),
        (
            ["auto", "ring"],
            "expected one of auto, tensorflow, shared_memory on worker 1.",
        ),
    ],
)
def test_what_workers_do_not_agree_on_is_refused_on_all(ways, expected):
    for code, _, told in workers(ways=ways):
        assert code == 1
        assert f"KERASCALE_ALL_REDUCE: {expected}" in told


def test_a_sum_that_tensorflow_holds_is_not_written_over():
    results = shared_sum._Results()

    def give(value):
        array = results.take(64).view("float32")
        array[:] = value
        return array

    @tf.function
    def call(value):
        return tf.numpy_function(give, [value], tf.float32)

    held = [call(tf.constant(float(i))) for i in range(6)]
    assert [float(tensor[-1]) for tensor in held] == [0, 1, 2, 3, 4, 5]


ONE_PROCESS = """
import os
import keras, numpy as np, tensorflow as tf, kerascale as ks
strategy = ks.strategies.get("mirrored")
with strategy.scope():
    model = ks.scale(keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)]))
    model.compile("sgd", "mse")
x = np.zeros((8, 2), "float32")
for way in ("shared_memory", "ring"):
    os.environ["KERASCALE_ALL_REDUCE"] = way
    try:
        model.fit(x, x, verbose=0)
    except ks.RefusedError as error:
        print(error)
"""


def test_devices_of_one_process_refuse_it(run_python):
    told = run_python(ONE_PROCESS, env={"KERASCALE_DEVICES": "2"}, imported=True).stdout
    assert "Received: shared_memory, where all replicas are in one process" in told
    assert "expected one of auto, tensorflow, shared_memory. Received: 'ring'." in told
