"""A killed run ends as if nothing had happened: the same command goes on."""

import os
import signal
import subprocess

import pytest
from helpers.killing import STEPS, assert_same, assert_same_records, state_of

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
    2, "SIGTERM at any moment", "saved, exit 75 within 5 s, no step lost, same bits"
)
@pytest.mark.parametrize(
    ("what", "step"),
    [
        ("compile:0:SIGTERM", 1),
        (f"step:{STEPS + 4}:group-SIGTERM", STEPS + 4),
        ("validation:2:SIGTERM", STEPS),
    ],
    ids=["first compile", "step, to the group", "validation"],
)
def test_asked_to_stop(what, step, train, undisturbed, tmp_path, seen):
    run = tmp_path / "run"
    # A shell is in the group too.
    stopped = train(run, events=what, shell='trap : TERM; "$@"; exit $?')
    assert stopped.returncode == 75, stopped.stderr
    assert f"stopped on request after step {step}" in stopped.text
    seconds = stopped.seconds_after(what.rpartition(":")[2])
    finished = train(run)
    assert finished.returncode == 0, finished.stderr
    assert f"resuming at step {step} " in finished.stderr
    assert_same(run, undisturbed)
    assert_same_records(run, undisturbed)
    if not what.startswith("compile"):  # It ends when the compilation ends.
        assert seconds < 5
        seen(f"exit 75 in {seconds:.1f} s, same bits")


@pytest.mark.fault(
    2, "SIGTERM in a save", "saved, exit 75 within 5 s, no step lost, same bits"
)
def test_asked_to_stop_in_a_save(train, undisturbed, tmp_path, seen):
    run = tmp_path / "run"
    stopped = train(
        run, "--save-every-steps", 5, fault="save:before-rename:term:from=10"
    )
    assert stopped.returncode == 75, stopped.stderr
    assert_goes_on_after_the_last_step(train, run, stopped)
    assert_same(run, undisturbed)
    seen("exit 75, same bits")


def assert_goes_on_after_the_last_step(train, run, stopped):
    step = Store(run / "checkpoints").steps()[-1]
    assert f"stopped on request after step {step}" in stopped.text
    finished = train(run)
    assert finished.returncode == 0, finished.stderr
    assert f"resuming at step {step} " in finished.stderr


@pytest.mark.fault(2, "a second SIGINT", "stops at once, exit 130")
def test_a_second_interrupt(train, undisturbed, tmp_path, seen):
    run = tmp_path / "run"
    every = ("--save-every-steps", 2)
    stopped = train(run, *every, events="step:9:SIGINT,step:9:SIGINT")
    assert stopped.returncode == 130, stopped.stderr
    assert stopped.seconds_after("SIGINT") < 5
    assert train(run, *every).returncode == 0
    assert_same(run, undisturbed)
    seen("exit 130, the run goes on, same bits")


@pytest.mark.fault(2, "SIGTERM before the first step", "exit 75, no folder is held")
def test_asked_to_stop_before_the_first_step(train, tmp_path, seen):
    command = train.command(tmp_path / "run")
    with subprocess.Popen(
        command, cwd=tmp_path, env=train.environ(), stderr=subprocess.PIPE, text=True
    ) as process:
        for line in process.stderr:
            if line.startswith("data:"):
                process.send_signal(signal.SIGTERM)
                break
        rest = process.stderr.read()
        assert process.wait(30) == 75
    assert "stopped on request" in rest
    seen("exit 75")


def test_another_size_of_executions_resumes_as_well(train, undisturbed, tmp_path):
    run = tmp_path / "run"
    stopped = train(run, events="step:7:SIGINT")
    assert stopped.returncode == 75, stopped.stderr
    finished = train(run, "--steps-per-execution", 4)
    assert finished.returncode == 0, finished.stderr
    assert_same(run, undisturbed)


def test_more_epochs_and_changes(train, tmp_path):
    run = tmp_path / "run"
    fields = ("--schedule", "constant")
    assert train(run, fields=(*fields, "--epochs", "1")).returncode == 0
    before, history = state_of(run)
    evaluation = (run / "evaluation.json").read_text()
    again = train(run, fields=(*fields, "--epochs", "1"))
    assert again.returncode == 0, again.stderr
    assert "is finished: it is evaluated and saved once more" in again.stderr
    assert state_of(run)[1] == history
    assert state_of(run)[0].step == before.step
    assert (run / "evaluation.json").read_text() == evaluation
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
def test_damaged_checkpoints(train, undisturbed, tmp_path, seen):
    run = tmp_path / "run"
    many = ("--save-every-steps", 2, "--keep-checkpoints", 9)
    stopped = train(run, *many, events="step:15:SIGTERM")
    assert stopped.returncode == 75, stopped.stderr
    store = Store(run / "checkpoints")
    good, *bad = store.steps()[-1 - len(_DAMAGE) :]
    folders = [run / "checkpoints" / f"{step:012d}" for step in bad]
    for folder, damage in zip(folders, _DAMAGE.values(), strict=True):
        damage(folder)
    finished = train(run, *many)
    assert finished.returncode == 0, finished.stderr
    for folder, reason in zip(folders, _DAMAGE, strict=True):
        assert f"checkpoint skipped: {folder}:" in finished.text
        assert reason in finished.text
    assert f"resuming at step {good} " in finished.stderr
    assert_same(run, undisturbed)
    seen(f"{len(bad)} skipped and named, same bits")


@pytest.mark.fault(6, "all checkpoints damaged", "exit 1, never a start at step 0")
def test_all_checkpoints_damaged(train, tmp_path, seen):
    run = tmp_path / "run"
    assert train(run, events="step:3:SIGTERM").returncode == 75
    for manifest in run.glob("checkpoints/*/manifest.json"):
        manifest.write_text("")
    refused = train(run)
    assert refused.returncode == 1
    assert "expected a checkpoint that is whole" in refused.stderr
    assert Store(run / "checkpoints").steps() == [3]
    seen("exit 1")


def test_back_to_an_older_step(train, undisturbed, tmp_path):
    run = tmp_path / "run"
    every = ("--save-every-steps", 5, "--keep-checkpoints", 9)
    assert train(run, *every, events="step:21:SIGTERM").returncode == 75
    refused = train(run, *every, "--resume-from", f"{run}:7")
    assert refused.returncode == 2
    assert "expected one of step 7" in refused.text
    assert Store(run / "checkpoints").steps()[-1] == 21
    back = train(run, *every, "--resume-from", f"{run}:10")
    assert back.returncode == 0, back.stderr
    assert "removed the checkpoints of steps [15, 18, 20, 21]" in back.text
    assert "resuming at step 10 " in back.stderr
    assert_same(run, undisturbed)
    assert_same_records(run, undisturbed)


def test_another_run_goes_on_from_its_state(train, undisturbed, tmp_path):
    assert train(tmp_path / "first", events="step:21:SIGTERM").returncode == 75
    other = tmp_path / "other"
    finished = train(other, "--resume-from", tmp_path / "first")
    assert finished.returncode == 0, finished.stderr
    assert_same(other, undisturbed)
    assert_same_records(other, undisturbed)
    assert (other / "evaluation.json").read_text() == (
        undisturbed / "evaluation.json"
    ).read_text()
