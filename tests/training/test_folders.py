"""Disks that are full or read-only, folders that are held, clocks that jump."""

import os
import re
import shutil
import subprocess
import time

import pytest
from helpers.fault_fixtures import Stopped
from helpers.killing import (
    STEPS,
    assert_same,
    assert_same_records,
    assert_same_so_far,
    state_of,
)

from kerascale.runs.checkpoint import Store

EVERY = ("--save-every-steps", 3)

_SAVES = "disk full during saves, room again later"
_EPOCH = "disk full at an epoch's end, room again in the next"


@pytest.mark.fault(
    7,
    _SAVES,
    "SAVE FAILED with errno 28, training goes on, older checkpoints intact, same bits",
)
@pytest.mark.fault(
    7,
    _EPOCH,
    "told, training goes on, no line or curve is lost or doubled, same bits",
)
def test_full_disk_and_training_goes_on(train, undisturbed, disk, seen):
    run = disk / "run"
    over_its_end = f"step:{STEPS - 4}:fill,step:{STEPS + 4}:free"
    in_epoch = f"step:{2 * STEPS + 4}:fill,step:{2 * STEPS + 13}:free"
    finished = train(
        run,
        *EVERY,
        events=f"{over_its_end},{in_epoch}",
        KERASCALE_TEST_FILLER=str(disk / "filler"),
    )
    assert finished.returncode == 0, finished.stderr
    at_its_end, in_epoch = finished.stderr.split("free at ")[:2]
    # The first time: whichever file is the first to meet it.
    one = r"expected to write (?!the checkpoint)\S+ Received: errno 28"
    assert len(re.findall(one, " ".join(at_its_end.split()))) == 1
    assert len(re.findall(one, finished.text)) == 1
    # The second time.
    for words in (
        "SAVE FAILED",
        "errno 28",
        "Training goes on (--on-save-failure continue)",
    ):
        assert words in " ".join(in_epoch.split())
    failed = in_epoch.count("SAVE FAILED")
    seen(f"{failed} saves failed and told, same bits", _SAVES)
    assert "Until then it is kept in memory. Training goes on" in finished.text
    assert finished.text.count("all records and weights that waited are written") == 1
    assert_same(run, undisturbed)
    assert_same_records(run, undisturbed)
    seen("told once, same files", _EPOCH)


_STOP_IN_SAVE = "disk full during saves, --on-save-failure stop"
_STOP_AT_END = "disk full at an epoch's end, --on-save-failure stop"


@pytest.mark.slow
@pytest.mark.fault(7, _STOP_AT_END, "exit 1, resumes once there is room, same bits")
@pytest.mark.fault(
    7,
    _STOP_IN_SAVE,
    "exit 1, no partial checkpoint, resumes once there is room, same bits",
)
def test_full_disk_and_training_stops(train, undisturbed, disk, seen):
    run, filler = disk / "run", disk / "filler"
    policy = ("--on-save-failure", "stop")
    at_end = train(
        run,
        *policy,
        events="step:4:fill",
        KERASCALE_TEST_FILLER=str(filler),
    )
    assert at_end.returncode == 1
    assert "FAILED. SAVE FAILED: expected to write " in at_end.text
    assert "errno 28" in at_end.text
    filler.unlink()
    assert_same_so_far(run, undisturbed)

    in_save = train(
        run,
        *(*EVERY, *policy),
        events=f"step:{STEPS + 4}:fill",
        KERASCALE_TEST_FILLER=str(filler),
    )
    assert "resuming at step" not in in_save.stderr
    assert in_save.returncode == 1
    assert "SAVE FAILED" in in_save.text
    assert "errno 28" in in_save.text
    newest, skipped = Store(run / "checkpoints").newest()
    assert not skipped
    # The last one may have been in the making when the disk was filled.
    assert newest.step in (STEPS, STEPS + 3)
    filler.unlink()

    finished = train(run, *policy)
    assert finished.returncode == 0, finished.stderr
    assert f"resuming at step {newest.step} " in finished.stderr
    assert_same(run, undisturbed)
    assert_same_records(run, undisturbed)
    seen(f"exit 1, resumed at step {newest.step}, same bits", _STOP_IN_SAVE)
    seen("exit 1, then the same files", _STOP_AT_END)


@pytest.mark.fault(8, "read-only run directory", "exit 2 before step 1")
def test_read_only(train, stopped, disk, seen):
    shutil.copytree(stopped.half, disk / "run")
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    for run in (disk / "new", disk / "run"):
        refused = train(run)
        assert refused.returncode == 2
        assert "read-only file system" in refused.text.lower()
    assert Store(disk / "run" / "checkpoints").steps()[-1] == Stopped.STEP
    seen("exit 2, for a new folder and for one that should go on")


_HELD = "two runs in one run directory; a lock left by kill -9"
_CLOCK = "the clock jumps an hour on, then two back"


@pytest.mark.fault(
    16, _HELD, "the second exits 2 naming the holder; the lock does not block"
)
@pytest.mark.fault(
    17,
    _CLOCK,
    "checkpoints ordered by step, intervals from the monotonic clock, same bits",
)
def test_a_folder_has_one_run_and_the_clock_jumps(train, undisturbed, tmp_path, seen):
    run = tmp_path / "run"
    with open(os.devnull, "w") as nothing:
        holder = train.start(
            run, stdout=nothing, stderr=nothing, events="step:5:SIGSTOP"
        )
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

    asked = train(
        run,
        *("--save-every-seconds", 3600, "--keep-checkpoints", 9),
        events="step:5:clock-on,step:9:clock-back,step:13:SIGTERM",
    )
    assert asked.returncode == 75, asked.stderr
    # An hour by the wall clock is none.
    assert Store(run / "checkpoints").steps() == [13]
    finished = train(run, "--keep-checkpoints", 9)
    assert finished.returncode == 0, finished.stderr
    assert Store(run / "checkpoints").steps() == [13, STEPS, 2 * STEPS, 3 * STEPS]
    assert state_of(run)[0].step == 3 * STEPS
    assert_same(run, undisturbed)
    assert_same_records(run, undisturbed)
    seen("second: exit 2; after kill -9 of the first: done, same bits", _HELD)
    seen("no save by the wall clock, same bits", _CLOCK)


def _wait_for(path):
    deadline = time.monotonic() + 600
    while not path.exists():
        assert time.monotonic() < deadline
        time.sleep(0.1)
