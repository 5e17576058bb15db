"""A killed run ends as if nothing had happened: the same command goes on."""

import json

import numpy as np
import pytest
from killing import STEPS, assert_same, state_of

from kerascale.checkpoint import Store


def test_killed_three_times_once_in_a_save(train, undisturbed, tmp_path):
    """Row 1: at most K steps are trained again, and the bits are the same."""
    run = tmp_path / "run"
    every = ("--save-every-steps", 5)
    first = train(run, *every, signals="step:13:SIGKILL")
    assert first.returncode == -9
    second = train(run, *every, fault="save:before-rename:kill")
    assert second.returncode == -9
    third = train(run, *every, signals=f"step:{STEPS + 9}:SIGKILL")
    assert third.returncode == -9
    assert "resuming at step" in third.stderr
    saved = Store(run / "checkpoints").newest()[0].step
    # The writer may have been in the middle of the last one.
    assert STEPS + 9 - saved <= 2 * 5
    last = train(run, *every)
    assert last.returncode == 0, last.stderr
    assert f"resuming at step {saved} " in last.stderr
    assert_same(run, undisturbed)


@pytest.mark.parametrize(
    ("where", "step"),
    [("step:1", 1), (f"step:{STEPS + 4}", STEPS + 4), ("validation:2", STEPS)],
    ids=["first step", "step", "validation"],
)
def test_asked_to_stop(where, step, train, undisturbed, tmp_path):
    """Row 2: nothing is lost, and the exit code says that the run can go on."""
    run = tmp_path / "run"
    stopped = train(run, signals=f"{where}:SIGTERM")
    assert stopped.returncode == 75, stopped.stderr
    assert f"stopped on request after step {step}" in stopped.stderr
    finished = train(run)
    assert finished.returncode == 0, finished.stderr
    assert f"resuming at step {step} " in finished.stderr
    assert_same(run, undisturbed)


def test_another_size_of_executions_resumes_as_well(train, undisturbed, tmp_path):
    run = tmp_path / "run"
    stopped = train(run, signals="step:7:SIGINT")
    assert stopped.returncode == 75, stopped.stderr
    finished = train(run, "--steps-per-execution", 4)
    assert finished.returncode == 0, finished.stderr
    assert_same(run, undisturbed)


def test_more_epochs_and_changes(train, tmp_path):
    run = tmp_path / "run"
    fields = ("--schedule", "constant")
    assert train(run, fields=(*fields, "--epochs", "1")).returncode == 0
    again = train(run, fields=(*fields, "--epochs", "1"))
    assert again.returncode == 2
    assert "expected a run that is not finished" in again.stderr
    changed = train(run, fields=(*fields, "--epochs", "2", "--learning-rate", "0.1"))
    assert changed.returncode == 2
    assert "learning_rate: expected 0.001, as in the run. Received: 0.1" in (
        " ".join(changed.stderr.split())
    )
    assert (run / "evaluation.json").exists()
    more = train(run, fields=(*fields, "--epochs", "2"))
    assert more.returncode == 0, more.stderr
    assert len(state_of(run)[1].splitlines()) == 3
    fresh = train(run, "--fresh", fields=(*fields, "--epochs", "1"))
    assert fresh.returncode == 0, fresh.stderr
    (aside,) = tmp_path.glob("run.before-*")
    assert (aside / "model.keras").exists()
    assert len(state_of(run)[1].splitlines()) == 2


def test_damaged_checkpoints(train, undisturbed, tmp_path):
    """Row 6: what is damaged is named and passed over; with none left, exit 1."""
    run = tmp_path / "run"
    stopped = train(run, "--save-every-steps", 4, signals="step:15:SIGTERM")
    assert stopped.returncode == 75, stopped.stderr
    *_, older, newest = Store(run / "checkpoints").steps()
    folder = run / "checkpoints" / f"{newest:012d}"
    largest = max(folder.iterdir(), key=lambda path: path.stat().st_size)
    content = bytearray(largest.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 8] = b"\xff" * 8
    largest.write_bytes(content)
    finished = train(run)
    assert finished.returncode == 0, finished.stderr
    assert f"checkpoint skipped: {folder}" in finished.stderr
    assert f"resuming at step {older} " in finished.stderr
    assert_same(run, undisturbed)


def test_all_checkpoints_damaged(train, tmp_path):
    run = tmp_path / "run"
    assert train(run, signals="step:3:SIGTERM").returncode == 75
    for manifest in run.glob("checkpoints/*/manifest.json"):
        manifest.write_text("")
    refused = train(run)
    assert refused.returncode == 1
    assert "expected a checkpoint that is whole" in refused.stderr
    assert Store(run / "checkpoints").steps() == [3]


def test_workers_stop_together_and_any_number_goes_on(train, undisturbed, tmp_path):
    """Rows 5 and elastic: begun on two workers, ended on one."""
    run = tmp_path / "run"
    stopped = train(run, signals="step:8:SIGTERM", workers=2, worker=1)
    assert stopped.returncode == 75, stopped.stderr
    saved = Store(run / "checkpoints").newest()[0]
    assert saved.step in (8, 9)
    finished = train(run)
    assert finished.returncode == 0, finished.stderr
    assert f"resuming at step {saved.step} " in finished.stderr
    ours, theirs = (
        json.loads((folder / "evaluation.json").read_text())
        for folder in (run, undisturbed)
    )
    assert ours["loss"] == pytest.approx(theirs["loss"], rel=1e-4)
    histories = [
        np.array([line.split(",") for line in state_of(f)[1].splitlines()[1:]], float)
        for f in (run, undisturbed)
    ]
    np.testing.assert_allclose(*histories, rtol=1e-4)
