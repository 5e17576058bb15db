"""What is written without TF Serving's package is read by its own messages."""

import json
import pathlib
import subprocess

import numpy as np
import pytest
from helpers import serving_environments as environments

SCRIPT = pathlib.Path(__file__).parent / "consumers" / "serving_api.py"


@pytest.mark.slow
def test_as_the_servers_own_messages(exported):
    python = environments.get("serving-api", environments.SERVING_API, on_top=True)
    made = exported("mlp")
    finished = subprocess.run(
        [python, SCRIPT, made.base],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    found = json.loads(finished.stdout.splitlines()[-1])
    assert found["models"] == ["mlp", "/models/mlp", "tensorflow", [1], {"stable": 1}]
    with np.load(made.run.path / "examples.npz") as examples:
        sums = examples["0"].sum(axis=(1, 2, 3), dtype=float).tolist()
    *single, batch, classify = found["records"]
    assert single == [
        ["predict_log", "serving_default", {"image": ["float32", [1, 8, 8, 1], total]}]
        for total in sums
    ]
    content = {"image": ["float32", [8, 8, 8, 1], pytest.approx(sum(sums))]}
    assert batch == ["predict_log", "serving_default", content]
    assert classify == ["classify_log", "classify", sums]
