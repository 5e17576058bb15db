"""Disks that are full or read-only, folders that are held, clocks that jump."""

import re
import subprocess
import time

import pytest
from helpers.killing import STEPS, assert_same, assert_same_records, state_of

from kerascale.runs.checkpoint import Store

EVERY = ("--save-every-steps", 3)


@pytest.mark.fault(
    7,
    "disk full during saves, room again later",
    "SAVE FAILED with errno 28, training goes on, older checkpoints intact, same bits",
)
def test_full_disk_and_training_goes_on(train, undisturbed, disk, seen):
    run = disk / "run"
    finished = train(
        run,
        *EVERY,
        events=f"step:{STEPS + 4}:fill,step:{STEPS + 13}:free",
        KERASCALE_TEST_FILLER=str(disk / "filler"),
    )
    assert finished.returncode == 0, finished.stderr
    assert "SAVE FAILED" in finished.text
    assert "errno 28" in finished.text
    assert "Training goes on (--on-save-failure continue)" in finished.text
    assert_same(run, undisturbed)
    seen(f"{finished.text.count('SAVE FAILED')} saves failed and told, same bits")


@pytest.mark.fault(
    7,
    "disk full at an epoch's end, room again in the next",
    "told, training goes on, no line or curve is lost or doubled, same bits",
)
def test_full_disk_at_the_end_of_an_epoch(train, undisturbed, disk, seen):
    run = disk / "run"
    finished = train(
        run,
        *EVERY,
        events=f"step:{STEPS + 4}:fill,step:{2 * STEPS + 4}:free",
        KERASCALE_TEST_FILLER=str(disk / "filler"),
    )
    assert finished.returncode == 0, finished.stderr
    # Whichever file is the first to meet it.
    one = r"expected to write (?!the checkpoint)\S+ Received: errno 28"
    told = re.findall(one, finished.text)
    assert len(told) == 1
    assert "Until then it is kept in memory. Training goes on" in finished.text
    assert finished.text.count("all records and weights that waited are written") == 1
    assert_same(run, undisturbed)
    assert_same_records(run, undisturbed)
    seen("told once, same files")


@pytest.mark.fault(
    7,
    "disk full at an epoch's end, --on-save-failure stop",
    "exit 1, resumes once there is room, same bits",
)
def test_full_disk_at_the_end_of_an_epoch_stops(train, undisturbed, disk, seen):
    run, filler = disk / "run", disk / "filler"
    ended = train(
        run,
        *("--on-save-failure", "stop"),
        events=f"step:{STEPS + 4}:fill",
        KERASCALE_TEST_FILLER=str(filler),
    )
    assert ended.returncode == 1
    assert "FAILED. SAVE FAILED: expected to write " in ended.text
    assert "errno 28" in ended.text
    filler.unlink()
    finished = train(run)
    assert finished.returncode == 0, finished.stderr
    assert f"resuming at step {STEPS} " in finished.stderr
    assert_same(run, undisturbed)
    assert_same_records(run, undisturbed)
    seen("exit 1, then the same files")


@pytest.mark.fault(
    7,
    "disk full during saves, --on-save-failure stop",
    "exit 1, no partial checkpoint, resumes once there is room, same bits",
)
def test_full_disk_and_training_stops(train, undisturbed, disk, seen):
    run = disk / "run"
    filler = disk / "filler"
    policy = ("--on-save-failure", "stop")
    ended = train(
        run,
        *(*EVERY, *policy),
        events=f"step:{STEPS + 4}:fill",
        KERASCALE_TEST_FILLER=str(filler),
    )
    assert ended.returncode == 1
    assert "SAVE FAILED" in ended.text
    assert "errno 28" in ended.text
    store = Store(run / "checkpoints")
    newest, skipped = store.newest()
    assert not skipped
    # The last one may have been in the making when the disk was filled.
    assert newest.step in (STEPS, STEPS + 3)
    filler.unlink()
    finished = train(run, *(*EVERY, *policy))
    assert finished.returncode == 0, finished.stderr
    assert f"resuming at step {newest.step} " in finished.stderr
    assert_same(run, undisturbed)
    seen(f"exit 1, resumed at step {newest.step}, same bits")


@pytest.mark.fault(8, "read-only run directory", "exit 2 before step 1")
def test_read_only(train, disk, seen):
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    refused = train(disk / "run")
    assert refused.returncode == 2
    assert "read-only file system" in refused.text.lower()
    subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)
    assert train(disk / "run", events="step:2:SIGTERM").returncode == 75
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    refused = train(disk / "run")
    assert refused.returncode == 2
    assert "read-only file system" in refused.text.lower()
    assert Store(disk / "run" / "checkpoints").steps() == [2]
    seen("exit 2, for a new folder and for one that should go on")


@pytest.mark.fault(
    16,
    "two runs in one run directory; a lock left by kill -9",
    "the second exits 2 naming the holder; the lock does not block",
)
def test_a_folder_has_one_run(train, undisturbed, tmp_path, seen):
    run = tmp_path / "run"
    with subprocess.Popen(
        train.command(run),
        cwd=tmp_path,
        env=train.environ(events="step:5:SIGSTOP"),
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    ) as holder:
        try:
            _wait_for(run / "config.json")
            refused = train(run)
        finally:
            holder.kill()
    assert refused.returncode == 2
    assert str(run) in refused.text
    assert f"is held by another run that is going on, process {holder.pid} (" in (
        refused.text
    )
    finished = train(run)
    assert finished.returncode == 0, finished.stderr
    assert_same(run, undisturbed)
    seen("second: exit 2; after kill -9 of the first: done, same bits")


def _wait_for(path):
    deadline = time.monotonic() + 120
    while not path.exists():
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.mark.fault(
    17,
    "the clock jumps an hour on, then two back",
    "checkpoints ordered by step, intervals from the monotonic clock, same bits",
)
def test_the_clock_jumps(train, undisturbed, tmp_path, seen):
    run = tmp_path / "run"
    stopped = train(
        run,
        *("--save-every-seconds", 3600, "--keep-checkpoints", 9),
        events="step:5:clock-on,step:9:clock-back,step:13:SIGTERM",
    )
    assert stopped.returncode == 75, stopped.stderr
    # An hour by the wall clock is none.
    assert Store(run / "checkpoints").steps() == [13]
    finished = train(run, "--keep-checkpoints", 9)
    assert finished.returncode == 0, finished.stderr
    assert Store(run / "checkpoints").steps() == [13, STEPS, 2 * STEPS, 3 * STEPS]
    assert state_of(run)[0].step == 3 * STEPS
    assert_same(run, undisturbed)
    seen("no save by the wall clock, same bits")
