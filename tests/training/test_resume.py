"""A killed run ends as if nothing had happened: the same command goes on.

What a run that was stopped once leaves is made once; several faults that do not depend
on each other come to one run, one after the other.
"""

import os
import shutil
import signal

import pytest
from helpers.fault_fixtures import Stopped
from helpers.killing import (
    ALL_STEPS,
    STEPS,
    assert_same,
    assert_same_records,
    assert_same_so_far,
    soon,
    state_of,
)

from kerascale.runs.checkpoint import Store


@pytest.mark.fault(
    1, "SIGKILL three times, once in a save", "same bits, at most K steps repeated"
)
def test_killed_three_times_once_in_a_save(train, undisturbed, tmp_path, seen):
    run = tmp_path / "run"
    every = ("--save-every-steps", 5)
    # At a pace that leaves the writer time for the first of them.
    first = train(run, *every, events="step:5:slow,step:13:SIGKILL")
    assert first.returncode == -9
    second = train(run, *every, fault="save:before-rename:kill")
    assert second.returncode == -9
    third = train(run, *every, events=f"step:{STEPS + 9}:SIGKILL")
    assert third.returncode == -9
    assert "resuming at step" in third.stderr
    assert_same_so_far(run, undisturbed)
    saved = Store(run / "checkpoints").newest()[0].step
    # The writer may have been in the middle of the last one.
    assert STEPS + 9 - saved <= 2 * 5
    last = train(run, *every)
    assert last.returncode == 0, last.stderr
    assert f"resuming at step {saved} " in last.stderr
    assert_same(run, undisturbed)
    assert_same_records(run, undisturbed)
    seen(f"same bits; {STEPS + 9 - saved} steps repeated after the last, K = 5")


@pytest.mark.fault(
    2, "SIGTERM in a step, to the group", "saved, exit 75 within 5 s, same bits"
)
def test_asked_to_stop(stopped, undisturbed, seen):
    ended = stopped.stopped
    assert ended.returncode == 75, ended.stderr
    assert f"stopped on request after step {Stopped.STEP}" in ended.text
    seconds = ended.seconds_after("group-SIGTERM")
    assert seconds < soon(5)
    assert_same_so_far(stopped.half, undisturbed)
    assert stopped.finished.returncode == 0, stopped.finished.stderr
    assert f"resuming at step {Stopped.STEP} " in stopped.finished.stderr
    assert_same(stopped.whole, undisturbed)
    assert_same_records(stopped.whole, undisturbed)
    seen(f"exit 75 in {seconds:.1f} s, same bits")


_SOONER = "SIGTERM in the first compile, in a validation, in a save"
_TWICE = "a second SIGINT"


@pytest.mark.fault(2, _SOONER, "saved, exit 75, no step lost, same bits")
@pytest.mark.fault(2, _TWICE, "stops at once, exit 130, same bits")
def test_asked_to_stop_again_and_again(train, undisturbed, tmp_path, seen):
    """The last part is executed in another form."""
    run = tmp_path / "run"
    store = Store(run / "checkpoints")

    def stops_after(step, stopped):
        assert stopped.returncode == 75, stopped.stderr
        assert f"stopped on request after step {step}" in stopped.text
        assert store.steps()[-1] == step
        assert_same_so_far(run, undisturbed)

    # It ends when the compilation ends.
    stops_after(1, train(run, events="compile:0:SIGTERM"))

    # Paced: the save is to end before the epoch does.
    in_save = train(
        run,
        "--save-every-steps",
        5,
        events="step:2:pace",
        fault="save:before-rename:term:from=10",
    )
    assert "resuming at step 1 " in in_save.stderr
    saved = store.steps()[-1]
    assert 10 <= saved < STEPS
    stops_after(saved, in_save)

    in_validation = train(run, events="validation:2:SIGTERM")
    assert f"resuming at step {saved} " in in_validation.stderr
    seconds = in_validation.seconds_after("SIGTERM")
    assert seconds < soon(5)
    stops_after(STEPS, in_validation)
    seen(f"exit 75, in the validation in {seconds:.1f} s; same bits", _SOONER)

    at = STEPS + 9
    twice = train(
        run, "--save-every-steps", 2, events=f"step:{at}:SIGINT,step:{at}:SIGINT"
    )
    assert twice.returncode == 130, twice.stderr
    assert f"resuming at step {STEPS} " in twice.stderr
    seconds = twice.seconds_after("SIGINT")
    assert seconds < soon(5)
    assert_same_so_far(run, undisturbed)
    seen(f"exit 130 in {seconds:.1f} s, the run goes on, same bits", _TWICE)

    finished = train(run, "--steps-per-execution", 4)
    assert finished.returncode == 0, finished.stderr
    assert_same(run, undisturbed)


@pytest.mark.fault(2, "SIGTERM before the first step", "exit 75, no folder is held")
def test_asked_to_stop_before_the_first_step(train, tmp_path, seen):
    reading, writing = map(os.fdopen, os.pipe(), "rw")
    with reading, writing, open(os.devnull, "w") as nothing:
        process = train.start(tmp_path / "run", stdout=nothing, stderr=writing)
        writing.close()
        for line in reading:
            if line.startswith("data:"):
                process.send_signal(signal.SIGTERM)
                break
        rest = reading.read()
        assert process.wait() == 75
    assert "stopped on request" in rest
    seen("exit 75")


def test_more_epochs_and_changes(command):
    run = command.folder / "run"

    def train(*fields):
        small = ("--units", "16", "--batch-size", "256", "--execution", "fixed")
        return command("train", "mlp", *small, "--run-dir", run, *fields)

    constant = ("--schedule", "constant")
    first = train(*constant, "--epochs", "1")
    assert first.code == 0, first.text
    before, history = state_of(run)
    evaluation = (run / "evaluation.json").read_text()
    # A loop is kept as the steps that were chosen for it.
    again = train(*constant, "--epochs", "1", "--execution", "loop")
    assert again.code == 0, again.text
    assert "is finished: it is evaluated and saved once more" in again.text
    assert state_of(run)[1] == history
    assert state_of(run)[0].step == before.step
    assert (run / "evaluation.json").read_text() == evaluation
    changed = train(*constant, "--epochs", "2", "--learning-rate", "0.1")
    assert changed.code == 2
    assert "learning_rate: expected 0.002, as in the run. Received: 0.1" in changed.text
    assert (run / "evaluation.json").exists()
    more = train(*constant, "--epochs", "2")
    assert more.code == 0, more.text
    assert len(state_of(run)[1].splitlines()) == 3
    fresh = train(*constant, "--epochs", "1", "--fresh")
    assert fresh.code == 0, fresh.text
    (aside,) = command.folder.glob("run.before-*")
    assert (aside / "model.keras").exists()
    assert len(state_of(run)[1].splitlines()) == 2


def _truncate(folder):
    path = _largest(folder)
    os.truncate(path, path.stat().st_size // 2)


def _overwrite(folder):
    path = _largest(folder)
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2)
        file.write(b"\xff" * 8)


def _largest(folder):
    return max(folder.iterdir(), key=lambda path: path.stat().st_size)


_DAMAGE = {
    "truncated": _truncate,
    "bytes changed": _overwrite,
    "manifest.json is empty": lambda folder: (folder / "manifest.json").write_text(""),
    "manifest.json is missing": lambda folder: (folder / "manifest.json").unlink(),
}


@pytest.mark.fault(
    6,
    "newest checkpoints truncated, overwritten, without a manifest",
    "each named with its reason, resumed from the one before, same bits",
)
@pytest.mark.fault(6, "all checkpoints damaged", "exit 1, never a start at step 0")
def test_damaged_checkpoints(train, stopped, undisturbed, tmp_path, seen):
    run = tmp_path / "run"
    shutil.copytree(stopped.half, run)
    steps = Store(run / "checkpoints").steps()
    folders = [run / "checkpoints" / f"{step:012d}" for step in steps]
    for folder in folders:
        (folder / "manifest.json").rename(folder / "moved")
        (folder / "manifest.json").write_text("")
    refused = train(run)
    assert refused.returncode == 1
    assert "expected a checkpoint that is whole" in refused.stderr
    assert Store(run / "checkpoints").steps() == steps
    seen("exit 1", "all checkpoints damaged")

    for folder in folders:
        (folder / "moved").rename(folder / "manifest.json")
    good = steps[-1 - len(_DAMAGE)]
    bad = folders[-len(_DAMAGE) :]
    for folder, damage in zip(bad, _DAMAGE.values(), strict=True):
        damage(folder)
    finished = train(run, *Stopped.FLAGS)
    assert finished.returncode == 0, finished.stderr
    for folder, reason in zip(bad, _DAMAGE, strict=True):
        assert f"checkpoint skipped: {folder}:" in finished.text
        assert reason in finished.text
    assert f"resuming at step {good} " in finished.stderr
    assert_same(run, undisturbed)
    seen(
        f"{len(bad)} skipped and named, same bits",
        "newest checkpoints truncated, overwritten, without a manifest",
    )


def test_back_to_an_older_step(train, stopped, undisturbed, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(stopped.half, run)
    refused = train(run, *Stopped.FLAGS, "--resume-from", f"{run}:7")
    assert refused.returncode == 2
    assert "expected one of step 7" in refused.text
    assert Store(run / "checkpoints").steps()[-1] == Stopped.STEP
    back = train(run, *Stopped.FLAGS, "--resume-from", f"{run}:10")
    assert back.returncode == 0, back.stderr
    removed = "removed the checkpoints of steps [12, 14, 16, 18, 20, 22]"
    assert removed in back.text
    assert "resuming at step 10 " in back.stderr
    assert_same(run, undisturbed)
    assert_same_records(run, undisturbed)


def test_another_run_goes_on_from_its_state(train, stopped, undisturbed, tmp_path):
    other = tmp_path / "other"
    finished = train(other, "--resume-from", stopped.half)
    assert finished.returncode == 0, finished.stderr
    assert len((other / "losses.bin").read_bytes()) == 8 * ALL_STEPS
    assert_same(other, undisturbed)
    assert_same_records(other, undisturbed)
    assert (other / "evaluation.json").read_text() == (
        undisturbed / "evaluation.json"
    ).read_text()
