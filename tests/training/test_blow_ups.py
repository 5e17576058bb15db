"""Row 9: a loss or a weight that is no number is never saved."""

import json

import numpy as np
import pytest
from helpers.killing import ALL_STEPS, STEPS

import kerascale
from kerascale.runs import timeline
from kerascale.runs.checkpoint import Store

EVERY = ("--save-every-steps", 5)


def _assert_finite(run):
    newest, skipped = Store(run / "checkpoints").newest()
    assert not skipped
    for name, array in newest.arrays.items():
        if array.dtype.kind == "f":
            assert np.isfinite(array).all(), name
    return newest


@pytest.mark.fault(
    9, "a weight becomes NaN", "exit 1 naming the step, newest checkpoint finite"
)
def test_it_stops(train, tmp_path, seen):
    run = tmp_path / "run"
    ended = train(run, *EVERY, events="step:12:poison")
    assert ended.returncode == 1
    assert "The loss became nan in epoch 1, batch 13 (update 13)" in ended.text
    assert _assert_finite(run).step == 10
    last = timeline.read(run)[-1]
    assert last["event"] == "failed"
    assert "The loss became nan in epoch 1" in last["reason"]
    seen("exit 1, step 13 named, checkpoint of step 10 finite")


@pytest.mark.fault(
    9, "a learning rate of 1e30", "exit 1 naming the step, newest checkpoint finite"
)
def test_a_rate_that_is_too_large(train, tmp_path, seen):
    run = tmp_path / "run"
    ended = train(
        run,
        *("--save-every-steps", 1, "--on-nan", "rollback"),
        fields=("--learning-rate", "1e30", "--schedule", "constant", "--epochs", "1"),
    )
    assert ended.returncode == 1
    assert "Given up after 3 rollbacks (--max-rollbacks)" in ended.text
    assert "rollback 3 of at most 3" in ended.text
    newest = _assert_finite(run)
    seen(f"3 rollbacks, exit 1, checkpoint of step {newest.step} finite")


@pytest.mark.fault(
    9,
    "a weight becomes NaN, with --on-nan rollback",
    "the last finite state again, a lower rate, done",
)
@pytest.mark.parametrize(
    ("workers", "schedule"),
    [
        (0, "cosine"),
        pytest.param(0, "constant", marks=pytest.mark.slow),
        pytest.param(2, "constant", id="two workers", marks=pytest.mark.slow),
    ],
)
def test_it_goes_back(workers, schedule, train, tmp_path, seen):
    step = STEPS + 9
    rollback = (*EVERY, "--on-nan", "rollback", "--rollback-factor", 0.25)
    options = {"events": f"step:{step}:poison", "fields": ("--schedule", schedule)}
    if workers == 2:
        ended, _ = train.two(*rollback, **options)
        run = tmp_path / "host0" / "run"
    else:
        run = tmp_path / "run"
        ended = train(run, *rollback, **options)
    assert ended.returncode == 0, ended.stderr
    words = f"rollback 1 of at most 3: back at step {STEPS + 7}, the learning rate"
    assert f"{words} times 0.25" in ended.text
    newest = _assert_finite(run)
    assert newest.step == ALL_STEPS
    assert newest.metadata["rollbacks"] == 1
    (back,) = (e for e in timeline.read(run) if e["event"] == "rolled back")
    assert (back["step"], back["learning_rate_times"]) == (STEPS + 7, 0.25)
    rates = [float(r["learning_rate"]) for r in _records(run)]
    whole = {"constant": 1e-3, "cosine": 1e-3 * 0.5 * (1 + np.cos(2 * np.pi / 3))}
    assert rates[1] == pytest.approx(0.25 * whole[schedule], rel=1e-5)
    assert len(rates) == 3
    if schedule == "cosine":  # The saved model has a schedule of ours.
        assert kerascale.load_run(run).model.optimizer.learning_rate is not None
    seen("back once, rate lowered, exit 0")


@pytest.mark.slow
def test_a_run_that_went_back_can_be_stopped_and_goes_on(train, tmp_path):
    rollback = (*EVERY, "--on-nan", "rollback")
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    poison = f"step:{STEPS + 9}:poison"
    assert train(whole, *rollback, events=poison).returncode == 0
    stopped = train(parts, *rollback, events=f"{poison},step:{2 * STEPS + 1}:SIGTERM")
    assert stopped.returncode == 75, stopped.stderr
    assert train(parts, *rollback).returncode == 0
    (one, _), (other, _) = (Store(r / "checkpoints").newest() for r in (whole, parts))
    for name, array in one.arrays.items():
        np.testing.assert_array_equal(array, other.arrays[name], name)


def _records(run):
    text = (run / "metrics.jsonl").read_text()
    records = [json.loads(line) for line in text.splitlines()]
    return [record for record in records if "kind" not in record]
