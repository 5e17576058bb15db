"""Workers that are killed, stopped, stuck, or in disagreement: one job, one result."""

import json
import os
import shutil
import socket
import time

import numpy as np
import pytest
from helpers.killing import (
    ALL_STEPS,
    STEPS,
    assert_same,
    state_of,
    tf_config,
)

from kerascale.launch.environment import free_ports
from kerascale.runs.checkpoint import Store

_KILLED = "kill -9 of one of several workers"
_STOPPED = "SIGSTOP of one of two workers"
_FAILED = "kill -9 of one, no restart left"


@pytest.mark.fault(
    3, _KILLED, "others gone, all started again, at most K steps lost, same bits"
)
@pytest.mark.fault(
    4, _STOPPED, "noticed within the limit, stacks dumped, restarted, same bits"
)
@pytest.mark.fault(3, _FAILED, "others gone within 15 s, non-zero, peer named")
def test_a_job_of_two(train, undisturbed_by_two, tmp_path, seen):
    """The chief is killed; then worker 1 is stopped; then it is killed.

    Two processes that nobody launches end the run.
    """
    run = tmp_path / "host0" / "run"
    run.parent.mkdir()
    every = ("--save-every-steps", 5)
    steps = (STEPS + 9, 2 * STEPS + 4, 2 * STEPS + 9)
    events = (
        f"0:0:step:{steps[0]}:SIGKILL",
        # It goes on for as long as its stacks are written, before it is killed.
        f"1:1:step:{steps[1]}:crawl",
        f"1:1:step:{steps[1]}:SIGSTOP",
        f"2:1:step:{steps[2]}:SIGKILL",
    )
    ended = train(
        run,
        *every,
        workers=2,
        events=",".join(events),
        # Before TensorFlow itself looks after the other worker.
        launch=("--max-restarts", 2, "--stuck-seconds", 5),
    )
    assert ended.returncode == 137, ended.stderr
    killed, rest = ended.stderr.split("restart 1 of at most 2")
    stopped, failed = rest.split("restart 2 of at most 2")
    assert "worker 0 was the first to fail: killed by SIGKILL" in _words(killed)
    assert "worker 1 is stuck" in _words(stopped)
    assert "held up by a signal such as SIGSTOP" in _words(stopped)
    assert "Thread 0x" in stopped
    assert "worker 1 was the first to fail: killed by SIGKILL" in _words(failed)
    seconds = ended.seconds_after("SIGKILL")
    assert seconds < 15
    seen(f"exit 137 in {seconds:.1f} s, worker named", _FAILED)
    again = _resumed_at(ended)
    assert len(again) == 2
    for step, at in zip(steps, again, strict=False):
        assert 0 <= step - at <= 2 * 5

    chief, other = train.two(*every)
    assert [chief.returncode, other.returncode] == [0, 0], chief.stderr
    (at,) = _resumed_at(chief)
    assert 0 <= steps[2] - at <= 2 * 5
    assert_same(run, undisturbed_by_two)
    seen(f"restarted, {steps[0] - again[0]} steps lost, same bits", _KILLED)
    seen("noticed, stacks shown, restarted, same bits", _STOPPED)


@pytest.mark.slow
@pytest.mark.fault(
    3, _KILLED, "others gone, all started again, at most K steps lost, same bits"
)
@pytest.mark.parametrize("worker", [0, 1], ids=["chief", "worker 1"])
def test_killed_worker(worker, train, undisturbed_by_two, tmp_path, seen):
    run = tmp_path / "run"
    finished = train(
        run,
        "--save-every-steps",
        5,
        workers=2,
        worker=worker,
        events=f"step:{STEPS + 9}:SIGKILL",
    )
    assert finished.returncode == 0, finished.stderr
    assert f"worker {worker} was the first to fail: killed by SIGKILL" in finished.text
    assert "restart 1 of at most 3" in finished.text
    (again,) = _resumed_at(finished)
    assert 0 <= STEPS + 9 - again <= 2 * 5
    assert_same(run, undisturbed_by_two)
    seen(f"restarted, {STEPS + 9 - again} steps lost, same bits", _KILLED)


_STUCK = "data that never comes, one process"


@pytest.mark.slow
@pytest.mark.fault(
    4, _STUCK, "noticed within the limit, stacks dumped, restarted, same bits"
)
def test_a_job_of_one_begins_anew_once(train, stopped, undisturbed, tmp_path, seen):
    """Killed, and stuck after that: neither restart begins anew, as --fresh says."""
    run = tmp_path / "run"
    shutil.copytree(stopped.half, run)
    events = f"0:0:step:{STEPS + 9}:SIGKILL,1:0:step:{2 * STEPS + 4}:block"
    finished = train(
        run, "--fresh", workers=1, events=events, launch=("--stuck-seconds", 10)
    )
    assert finished.returncode == 0, finished.stderr
    assert _resumed_at(finished) == [STEPS, 2 * STEPS]
    assert len(list(tmp_path.glob("run.before-*"))) == 1
    assert "worker 0 is stuck (training, step" in finished.text
    assert "in _block" in finished.stderr
    assert_same(run, undisturbed)
    seen("noticed, stacks shown, restarted, same bits")


@pytest.mark.slow
@pytest.mark.fault(
    3, "kill -9 of one, no restarts", "others gone within 15 s, non-zero, peer named"
)
@pytest.mark.parametrize("workers", [2, 3], ids=["of 2", "of 3"])
def test_survivors_end(workers, train, tmp_path, seen):
    ended = train(
        tmp_path / "run",
        workers=workers,
        worker=workers - 1,
        events="step:9:SIGKILL",
        launch=("--max-restarts", 0),
    )
    assert ended.returncode == 137
    assert f"worker {workers - 1} was the first to fail: killed by SIGKILL" in (
        ended.text
    )
    seconds = ended.seconds_after("SIGKILL")
    assert seconds < 15
    seen(f"exit 137 in {seconds:.1f} s, worker named")


@pytest.mark.slow
@pytest.mark.fault(3, "a worker killed at the same step again", "given up, with words")
def test_a_failure_that_repeats(train, tmp_path, seen):
    ended = train(
        tmp_path / "run", workers=1, events="step:9:SIGKILL", KERASCALE_TEST_ALWAYS="1"
    )
    assert ended.returncode == 137
    assert "given up: it failed twice in a row at step 9" in ended.text
    seen("given up after 1 restart")


@pytest.mark.slow
@pytest.mark.parametrize(("first", "then"), [(2, 3), (3, 1), (1, 2)])
def test_any_number_of_workers_goes_on(first, then, train, undisturbed, tmp_path):
    run = tmp_path / "run"
    stopped = train(run, events="step:8:SIGTERM", workers=first)
    assert stopped.returncode == 75, stopped.stderr
    finished = train(run, workers=then)
    assert finished.returncode == 0, finished.stderr
    assert_close(run, undisturbed)


def assert_close(run, other):
    """The same run but for rounding."""
    ours, theirs = (
        json.loads((folder / "evaluation.json").read_text()) for folder in (run, other)
    )
    assert ours["loss"] == pytest.approx(theirs["loss"], rel=1e-4)
    histories = [
        np.array([line.split(",") for line in state_of(f)[1].splitlines()[1:]], float)
        for f in (run, other)
    ]
    np.testing.assert_allclose(*histories, rtol=1e-4)


@pytest.mark.fault(18, "the chief's port is in use", "port named, exit 2 within 15 s")
def test_port_in_use(train, tmp_path, seen):
    with socket.socket() as taken:
        taken.bind(("", 0))
        taken.listen()
        port = taken.getsockname()[1]
        began = time.monotonic()
        ports = [port, *free_ports(1)]
        refused = train(tmp_path / "run", TF_CONFIG=tf_config(ports, 0))
    seconds = time.monotonic() - began
    assert refused.returncode == 2, refused.stderr
    assert str(port) in refused.text
    assert seconds < 15
    assert not (tmp_path / "run").exists()
    seen(f"exit 2 in {seconds:.1f} s, port named")


_TOGETHER = "SIGTERM to one of two workers"
_MISSING = "workers in folders of their own; the newest checkpoint is missing"


@pytest.mark.fault(5, _TOGETHER, "both save the same step and exit 75")
@pytest.mark.fault(22, _MISSING, "all go on from one step, same bits")
def test_workers_stop_together_and_agree_on_the_step(
    train, undisturbed, undisturbed_by_two, tmp_path, seen
):
    every = ("--save-every-steps", 4)
    both = train.two(*every, events="0:1:step:14:SIGTERM")
    assert [each.returncode for each in both] == [75, 75], both
    seconds = both[1].seconds_after("SIGTERM")
    assert seconds < 5
    run = tmp_path / "host0" / "run"
    store = Store(run / "checkpoints")
    *_, older, newest = store.steps()
    assert newest in (14, 15)
    for each in both:
        assert f"stopped on request after step {newest}" in each.text
    seen(f"both at step {newest}, exit 75 in {seconds:.1f} s", _TOGETHER)

    alone = shutil.copytree(run, tmp_path / "alone")
    finished = train(alone)
    assert finished.returncode == 0, finished.stderr
    assert f"resuming at step {newest} " in finished.stderr
    assert_close(alone, undisturbed)

    shutil.rmtree(store.folder / f"{newest:012d}")
    both = train.two(*every)
    assert [each.returncode for each in both] == [0, 0], both
    assert f"resuming at step {older} " in both[0].stderr
    # The other worker has a log, and no checkpoints that could differ.
    assert not (tmp_path / "host1" / "run" / "checkpoints").exists()
    assert_same(run, undisturbed_by_two)
    seen(f"both at step {older}, same bits", _MISSING)


def _words(text):
    return " ".join(text.split())


def _resumed_at(ended):
    words = [line.split() for line in ended.stderr.splitlines()]
    return [int(w[w.index("step") + 1]) for w in words if "resuming" in w]


def test_all_steps_are_counted(undisturbed_by_two):
    assert state_of(undisturbed_by_two)[0].step == ALL_STEPS
    assert os.path.exists(undisturbed_by_two / "evaluation.json")
