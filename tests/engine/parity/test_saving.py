"""A model saved after a training on replicas is a model of plain Keras."""

import subprocess
import sys

import cases
import pytest
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

CELLS = [
    pytest.param(
        strategy,
        names,
        marks=[pytest.mark.runs(strategy, "float64", *names)]
        + ([] if strategy in ("mirrored:2", "workers:2") else [pytest.mark.slow]),
    )
    for strategy in STRATEGIES
    for names in [
        [n for n in SAVED if strategy in cases.CASES[n].default]
        if strategy in ("mirrored:2", "workers:2")
        else SAVED
    ]
]


@pytest.mark.parametrize(("strategy", "names"), CELLS)
def test_plain_keras_loads_it(strategy, names, results):
    paths = [
        path
        for name in names
        for path in results.find(strategy, "float64", name, "*.keras")
    ]
    assert len(paths) >= len(names)
    finished = subprocess.run(
        [sys.executable, "-c", _LOAD, *map(str, paths)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout.count("loaded") == len(paths)
