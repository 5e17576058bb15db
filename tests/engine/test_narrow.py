"""Gradients that travel in fewer bits: rounded, alike on all workers, and said."""

import json
import pathlib

import keras
import numpy as np
import pytest
from helpers import plain_workers

import kerascale as ks
from kerascale.errors import RefusedError

SCRIPT = pathlib.Path(__file__).parents[1] / "helpers" / "narrow_gradients.py"
TRAVEL = "gradients travel in"


def _weights(out):
    lines = [json.loads(line) for line in out.splitlines() if line.startswith("{")]
    return {line["dtype"]: np.array(line["weights"]) for line in lines}


def _assert_rounded(found):
    exact = found["gradient"]
    worst = {d: np.abs(w - exact).max() / np.abs(exact).max() for d, w in found.items()}
    # A gradient has 11 bits, or 8, and there are 21 steps.
    assert 1e-6 < worst["float16"] < 5e-3
    assert 1e-5 < worst["bfloat16"] < 4e-2


def test_gradients_of_two_devices_are_rounded(run_python):
    ended = run_python(
        SCRIPT.read_text(), env={"KERASCALE_DEVICES": "2"}, imported=True
    )
    _assert_rounded(_weights(ended.stdout))
    assert ended.stderr.count(f"{TRAVEL} float16") == 1
    assert ended.stderr.count(f"{TRAVEL} bfloat16") == 1


@pytest.mark.slow
def test_workers_have_the_same_bits():
    ours, theirs = plain_workers.run(SCRIPT, ways=["tensorflow"] * 2)
    assert ours[1] == theirs[1]
    _assert_rounded(_weights(ours[1]))
    assert ours[2].count(TRAVEL) == 2


@pytest.mark.slow
def test_what_is_summed_in_memory_stays_as_it_is():
    (_, out, told), _ = plain_workers.run(SCRIPT, ways=[""] * 2)
    found = _weights(out)
    for dtype in ("float16", "bfloat16"):
        np.testing.assert_array_equal(found[dtype], found["gradient"])
    assert TRAVEL not in told
    assert told.count("are summed in its memory, and stay as they are") == 2


def test_another_dtype_is_refused():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    with pytest.raises(RefusedError, match=r"one of gradient, float16.*'int8'"):
        ks.scale(model, all_reduce_dtype="int8")
