"""How workers of one host sum gradients, as a user meets it."""

import json
import os
import pathlib
import subprocess
import sys
import time

import pytest

from kerascale.launch.environment import free_ports

WORKER = pathlib.Path(__file__).with_name("shared_memory_worker.py")
SAID = "all-reduce: shared memory"
# In the first layer, so that gradients are less or more than `auto` takes.
FEW, MANY = 8, 4096


def workers(*arguments, ways, **more):
    """(exit code, standard output, standard error) of each worker; and when it ended.

    Args:
        arguments: Of the worker.
        ways: KERASCALE_ALL_REDUCE of each.
    """
    addresses = [f"127.0.0.1:{port}" for port in free_ports(len(ways))]
    started = []
    for index, way in enumerate(ways):
        task = {"type": "worker", "index": index}
        environ = {
            **os.environ,
            "TF_CONFIG": json.dumps({"cluster": {"worker": addresses}, "task": task}),
            "TF_NUM_INTRAOP_THREADS": "1",
            "KERASCALE_ALL_REDUCE": way,
            **more,
        }
        started.append(
            subprocess.Popen(
                [sys.executable, str(WORKER), *map(str, arguments)],
                env=environ,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
    try:
        outputs = [process.communicate(timeout=200) for process in started]
    finally:
        for process in started:
            process.kill()
    return [(p.returncode, *o) for p, o in zip(started, outputs, strict=True)]


def test_gradients_of_some_size_are_summed_so_and_small_ones_are_not():
    (_, large, told), (_, same, _) = workers("train", MANY, ways=["", ""])
    assert large == same != ""
    assert told.count(SAID) == 1
    small = workers("train", FEW, ways=["auto", "auto"])
    assert small[0][1] == small[1][1] != ""
    assert SAID not in small[0][2]


@pytest.mark.slow
def test_two_workers_have_the_bits_of_tensorflows_own_sum():
    ours, theirs = (
        workers("train", MANY, ways=[way, way])
        for way in ("shared_memory", "tensorflow")
    )
    assert ours[0][1] == theirs[0][1] != ""
    assert SAID in ours[0][2]
    assert SAID not in theirs[0][2]


@pytest.mark.slow
def test_three_workers_have_the_same_bits_again():
    first, second = (workers("train", MANY, ways=[""] * 3) for _ in range(2))
    assert {out for _, out, _ in first} == {out for _, out, _ in second}
    assert len({out for _, out, _ in first}) == 1
    assert SAID in first[0][2]


def test_a_worker_that_is_killed_in_a_sum_is_named_and_missed():
    began = time.monotonic()
    (code, _, told), (killed, _, _) = workers("kill", MANY, ways=["", ""])
    assert killed == -9
    assert code not in (0, None)
    assert SAID in told
    assert "worker 1 (process " in told
    assert "is gone" in told
    assert time.monotonic() - began < 60


def test_what_workers_do_not_agree_on_is_refused_on_all():
    for ways, expected in (
        (
            ["tensorflow", "shared_memory"],
            "expected the same on all workers. Received: tensorflow, shared_memory",
        ),
        (
            ["auto", "ring"],
            "expected one of auto, tensorflow, shared_memory on worker 1.",
        ),
    ):
        for code, _, told in workers("train", FEW, ways=ways):
            assert code == 1
            assert f"KERASCALE_ALL_REDUCE: {expected}" in told


ONE_PROCESS = """
import keras, numpy as np, tensorflow as tf, kerascale as ks
strategy = ks.strategies.get("mirrored")
with strategy.scope():
    model = ks.scale(keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)]))
    model.compile("sgd", "mse")
x = np.zeros((8, 2), "float32")
try:
    model.fit(x, x, verbose=0)
except ks.RefusedError as error:
    print(error)
"""


@pytest.mark.parametrize(
    ("way", "message"),
    [
        ("shared_memory", "Received: shared_memory, where all replicas are in one"),
        ("ring", "expected one of auto, tensorflow, shared_memory. Received: 'ring'."),
    ],
)
def test_devices_of_one_process_refuse_it(way, message, run_python):
    environ = {"KERASCALE_ALL_REDUCE": way, "KERASCALE_DEVICES": "2"}
    assert message in run_python(ONE_PROCESS, env=environ).stdout
