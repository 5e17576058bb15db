"""Workers that are killed, stopped, stuck, or in disagreement: one job, one result."""

import json
import os
import shutil
import socket
import subprocess
import time

import numpy as np
import pytest
from helpers.killing import ALL_STEPS, STEPS, assert_same, state_of

from kerascale.launch.environment import free_ports
from kerascale.runs.checkpoint import Store


@pytest.mark.fault(
    3,
    "kill -9 of one of several workers",
    "others gone within 15 s, all started again, at most K steps lost, same bits",
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
    seen(f"restarted, {STEPS + 9 - again} steps lost, same bits")


def test_a_restart_does_not_begin_anew(train, undisturbed, tmp_path):
    run = tmp_path / "run"
    assert train(run, events="step:3:SIGTERM").returncode == 75
    finished = train(run, "--fresh", workers=1, events=f"step:{STEPS + 9}:SIGKILL")
    assert finished.returncode == 0, finished.stderr
    assert _resumed_at(finished) == [STEPS]
    assert len(list(tmp_path.glob("run.before-*"))) == 1
    assert_same(run, undisturbed)


@pytest.mark.fault(
    3, "kill -9 of one, no restarts", "others gone within 15 s, non-zero, peer named"
)
@pytest.mark.parametrize(
    "workers", [2, pytest.param(3, marks=pytest.mark.slow)], ids=["of 2", "of 3"]
)
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


@pytest.mark.fault(3, "a worker killed at the same step again", "given up, with words")
def test_a_failure_that_repeats(train, tmp_path, seen):
    ended = train(
        tmp_path / "run", workers=1, events="step:9:SIGKILL", KERASCALE_TEST_ALWAYS="1"
    )
    assert ended.returncode == 137
    assert "given up: it failed twice in a row at step 9" in ended.text
    seen("given up after 1 restart")


@pytest.mark.fault(
    4,
    "SIGSTOP of one of two workers",
    "noticed within the limit, stacks dumped, restarted, same bits",
)
def test_stopped_worker(train, undisturbed_by_two, tmp_path, seen):
    run = tmp_path / "run"
    finished = train(
        run,
        workers=2,
        worker=1,
        events=f"step:{STEPS + 9}:SIGSTOP",
        launch=("--stuck-seconds", 5),
    )
    assert finished.returncode == 0, finished.stderr
    assert "worker 1 is stuck" in finished.text
    assert "held up by a signal such as SIGSTOP" in finished.text
    assert "Thread 0x" in finished.stderr
    assert_same(run, undisturbed_by_two)
    seen("noticed, stacks shown, restarted, same bits")


@pytest.mark.fault(
    4,
    "data that never comes, one process",
    "noticed within the limit, stacks dumped, restarted, same bits",
)
def test_stuck_process(train, undisturbed, tmp_path, seen):
    run = tmp_path / "run"
    finished = train(
        run,
        workers=1,
        events=f"step:{STEPS + 9}:block",
        launch=("--stuck-seconds", 5),
    )
    assert finished.returncode == 0, finished.stderr
    assert "worker 0 is stuck (training, step" in finished.text
    assert "in _block" in finished.stderr
    assert_same(run, undisturbed)
    seen("noticed, stacks shown, restarted, same bits")


@pytest.mark.fault(
    5, "SIGTERM to one of two workers", "both save the same step and exit 75"
)
def test_workers_stop_together_and_one_process_goes_on(
    train, undisturbed, tmp_path, seen
):
    run = tmp_path / "run"
    stopped = train(run, events="step:8:SIGTERM", workers=2, worker=1)
    assert stopped.returncode == 75, stopped.stderr
    seconds = stopped.seconds_after("SIGTERM")
    assert seconds < 5
    saved = Store(run / "checkpoints").newest()[0]
    assert saved.step in (8, 9)
    seen(f"both at step {saved.step}, exit 75 in {seconds:.1f} s")
    finished = train(run)
    assert finished.returncode == 0, finished.stderr
    assert f"resuming at step {saved.step} " in finished.stderr
    assert_close(run, undisturbed)


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
        refused = train(tmp_path / "run", TF_CONFIG=_tf_config(ports, 0))
    seconds = time.monotonic() - began
    assert refused.returncode == 2, refused.stderr
    assert str(port) in refused.text
    assert seconds < 15
    assert not (tmp_path / "run").exists()
    seen(f"exit 2 in {seconds:.1f} s, port named")


@pytest.mark.fault(
    22,
    "workers in folders of their own; the newest checkpoint is missing",
    "all go on from one step, same bits",
)
def test_workers_agree_on_the_step(train, undisturbed_by_two, tmp_path, seen):
    every = ("--save-every-steps", 4)
    stopped = _cluster(train, tmp_path, *every, events="step:14:SIGTERM")
    assert [code for code, _ in stopped] == [75, 75], stopped
    store = Store(tmp_path / "host0" / "run" / "checkpoints")
    *_, older, newest = store.steps()
    assert newest in (14, 15)
    shutil.rmtree(store.folder / f"{newest:012d}")
    finished = _cluster(train, tmp_path, *every)
    assert [code for code, _ in finished] == [0, 0], finished
    assert f"resuming at step {older} " in finished[0][1]
    # The other worker has a log, and no checkpoints that could differ.
    assert not (tmp_path / "host1" / "run" / "checkpoints").exists()
    assert_same(tmp_path / "host0" / "run", undisturbed_by_two)
    seen(f"both at step {older}, same bits")


def _cluster(train, folder, *arguments, events=""):
    """(exit code, standard error) of two processes, as a cluster manager starts them.

    Each has a folder of its own, as on two hosts without a shared disk.
    """
    ports = free_ports(2)
    started = []
    for index in range(2):
        host = folder / f"host{index}"
        host.mkdir(exist_ok=True)
        environ = train.environ(
            events=events,
            worker=1,
            TF_CONFIG=_tf_config(ports, index),
            no_grpc_proxy="127.0.0.1",
            # As `launch` sets it: threads add up in another order.
            TF_NUM_INTRAOP_THREADS="1",
        )
        started.append(
            subprocess.Popen(
                train.command("run", *arguments),
                cwd=host,
                env={**environ, "CUDA_VISIBLE_DEVICES": ""},
                stderr=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                text=True,
            )
        )
    try:
        errors = [process.communicate(timeout=240)[1] for process in started]
    finally:
        for process in started:
            process.kill()
    return [(p.returncode, text) for p, text in zip(started, errors, strict=True)]


def _tf_config(ports, index):
    workers = [f"127.0.0.1:{port}" for port in ports]
    task = {"type": "worker", "index": index}
    return json.dumps({"cluster": {"worker": workers}, "task": task})


def _resumed_at(ended):
    words = [line.split() for line in ended.stderr.splitlines()]
    return [int(w[w.index("step") + 1]) for w in words if "resuming" in w]


def test_all_steps_are_counted(undisturbed_by_two):
    assert state_of(undisturbed_by_two)[0].step == ALL_STEPS
    assert os.path.exists(undisturbed_by_two / "evaluation.json")
