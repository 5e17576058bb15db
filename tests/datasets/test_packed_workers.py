"""Packed digits: killed and gone on with, on several workers: one result."""

import csv

import numpy as np
import pytest
from helpers.killing import STEPS, assert_same

from kerascale.datasets.packed import packing, sources

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def fields(tmp_path_factory):
    """What trains on digits as they were packed."""
    dest = tmp_path_factory.mktemp("packed") / "digits"
    packing.pack(sources.open_source("digits"), dest)
    return ("--dataset", f"packed:{dest}")


def _history(run):
    with open(run / "history.csv", newline="") as file:
        return [[float(v) for v in row.values()] for row in csv.DictReader(file)]


def test_killed_three_times_is_as_undisturbed_in_memory(
    train, undisturbed, fields, tmp_path
):
    run, every = tmp_path / "run", ("--save-every-steps", 5)
    for step in (7, STEPS + 3, 2 * STEPS + 9):
        events = f"step:{step}:SIGKILL"
        ended = train(run, *every, events=events, fields=fields)
        assert ended.returncode == -9, ended.stderr
    last = train(run, *every, fields=fields)
    assert last.returncode == 0, last.stderr
    assert "resuming at step" in last.stderr
    assert_same(run, undisturbed)


@pytest.mark.parametrize("count", [2, 3])
def test_workers_give_one_result_and_one_goes_on_alone(
    train, undisturbed, fields, tmp_path, count
):
    run, every = tmp_path / "run", ("--save-every-steps", 5)
    events = f"step:{STEPS + 9}:SIGKILL"
    ended = train(
        run,
        *every,
        events=events,
        workers=count,
        launch=("--max-restarts", 0),
        fields=fields,
    )
    assert ended.returncode not in (0, 2), ended.stderr
    last = train(run, *every, fields=fields)
    assert last.returncode == 0, last.stderr
    assert "resuming at step" in last.stderr
    expected = _history(undisturbed)
    np.testing.assert_allclose(_history(run), expected, rtol=1e-3, atol=1e-3)
