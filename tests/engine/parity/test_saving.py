"""A model saved after a training on replicas is a model of plain Keras."""

import subprocess
import sys

import cases
import pytest
import selection
from registry import STRATEGIES

SAVED = [name for name in cases.CASES if name.startswith("saved_")]

_LOAD = """
import sys
sys.modules["kerascale"] = None
import keras, numpy as np
keras.config.set_floatx("float64")
for path in sys.argv[1:]:
    model = keras.saving.load_model(path)
    assert type(model).__module__.startswith("keras."), type(model)
    saved = np.load(path.removesuffix(".keras") + ".saved.npz")
    found = model.predict(saved["x"], verbose=0)
    np.testing.assert_allclose(found, saved["predictions"], rtol=1e-12, atol=1e-12)
    weights = np.concatenate([v.numpy().ravel() for v in model.trainable_weights])
    np.testing.assert_array_equal(weights, saved["trainable"])
    print("loaded", path)
"""

ALL = {
    (strategy, name)
    for name in SAVED
    for strategy in STRATEGIES
    if strategy in cases.CASES[name].strategies
}
DEFAULT = {
    cell
    for cell in ALL
    if selection.is_default(cases.CASES[cell[1]], cell[0], "float64")
}


def _parameter(cells, *marks):
    runs = [pytest.mark.runs(strategy, "float64", name) for strategy, name in cells]
    return pytest.param(cells, marks=[*runs, *marks])


@pytest.mark.parametrize(
    "cells",
    [
        _parameter(sorted(DEFAULT)),
        _parameter(sorted(ALL - DEFAULT), pytest.mark.slow),
    ],
    ids=["default", "others"],
)
def test_plain_keras_loads_it(cells, results):
    paths = []
    for strategy, name in cells:
        found = results.find(strategy, "float64", name, "*.keras")
        assert found, (strategy, name)
        paths += found
    finished = subprocess.run(
        [sys.executable, "-c", _LOAD, *map(str, paths)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout.count("loaded") == len(paths)
