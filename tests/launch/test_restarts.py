"""A job that fails is started again: when, how often, and where it goes on."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kerascale.launch.progress import Progress
from kerascale.launch.restarts import Restarts
from kerascale.launch.summary import Ending
from kerascale.runtime import heartbeat

_LAUNCH = """
import json, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from kerascale.launch import launch
sys.exit(launch(**json.loads(sys.argv[1])))
"""
# `attempt` counts from 1; `at(step)` is a sign of life.
_WORKER = """
import json, os, pathlib, signal, sys, time
from kerascale.runtime import heartbeat
heartbeat.start()
task = json.loads(os.environ.get("TF_CONFIG", '{"task": {"index": 0}}'))["task"]
count = pathlib.Path(f"attempts-{task['index']}")
count.write_text(count.read_text() + "." if count.exists() else ".")
attempt = len(count.read_text())
before = heartbeat.restarted_in()
def at(step, phase="training"):
    heartbeat.beat(phase, step=step, run_dir="runs/here")
"""


def _command(code, options):
    command = [sys.executable, "-c", _WORKER + code]
    options = {"command": command, "workers": 1, "backoff_seconds": 0.1, **options}
    return [sys.executable, "-c", _LAUNCH, json.dumps(options)]


def _launched(folder, code, **options):
    environ = {k: v for k, v in os.environ.items() if k != "TF_CONFIG"}
    return subprocess.run(
        _command(code, options),
        cwd=folder,
        env={**environ, "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_killed_job_goes_on_in_its_folder(tmp_path):
    finished = _launched(
        tmp_path,
        "print(attempt, before)\n"
        "at(10 * attempt)\n"
        "if attempt < 3: os.kill(os.getpid(), signal.SIGKILL)\n",
        max_restarts=3,
    )
    assert finished.returncode == 0, finished.stderr
    folder = tmp_path / "runs" / "here"
    assert finished.stdout == f"1 None\n2 {folder}\n3 {folder}\n"
    assert "killed by SIGKILL" in finished.stderr
    assert "starting all workers again in 0.1 s (restart 1 of at most 3)" in (
        finished.stderr
    )
    assert "restart 2 of at most 3" in finished.stderr


def test_every_worker_is_started_again(tmp_path):
    finished = _launched(
        tmp_path,
        "at(10)\n"
        "if attempt == 1:\n"
        "    if task['index'] == 1: os.kill(os.getpid(), signal.SIGKILL)\n"
        "    time.sleep(60)\n",
        workers=2,
        max_restarts=1,
        settle_seconds=0.5,
    )
    assert finished.returncode == 0, finished.stderr
    assert "worker 1 was the first to fail: killed by SIGKILL" in finished.stderr
    assert (tmp_path / "attempts-0").read_text() == ".."
    assert (tmp_path / "attempts-1").read_text() == ".."


@pytest.mark.parametrize(
    ("code", "attempts", "words"),
    [
        ("at(7); sys.exit(1)", 2, "given up: it failed twice in a row at step 7."),
        (
            "at(attempt); sys.exit(1)",
            4,
            "given up after 3 restarts (--max-restarts)",
        ),
        ("at(7, heartbeat.HOPELESS); sys.exit(1)", 1, "it would fail again"),
        ("at(7); sys.exit(2)", 1, ""),
        ("at(7); sys.exit(75)", 1, ""),
    ],
    ids=["same step", "too often", "hopeless", "refused", "stopped"],
)
def test_what_is_not_started_again(tmp_path, code, attempts, words):
    finished = _launched(tmp_path, code, max_restarts=3)
    assert finished.returncode in (1, 2, 75)
    assert (tmp_path / "attempts-0").read_text() == "." * attempts
    assert words in finished.stderr


def test_a_signal_in_the_pause_ends_it(tmp_path):
    options = {"max_restarts": 3, "backoff_seconds": 30.0}
    with subprocess.Popen(
        _command("at(7); sys.exit(1)", options),
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        for line in process.stderr:
            if "starting all workers again" in line:
                process.send_signal(signal.SIGTERM)
                break
        began = time.monotonic()
        assert process.wait(10) == 75
        assert time.monotonic() - began < 5


def test_a_stuck_worker_is_killed_and_its_stack_is_shown(tmp_path):
    finished = _launched(
        tmp_path,
        "def wait_for_data():\n"
        "    time.sleep(60)\n"
        "at(10 * attempt)\n"
        "if attempt == 1: wait_for_data()\n",
        max_restarts=1,
        stuck_seconds=1.0,
    )
    assert finished.returncode == 0, finished.stderr
    assert "worker 0 is stuck (training, step 10): nothing for 1 s" in finished.stderr
    assert "in wait_for_data" in finished.stderr


def test_a_stopped_worker_is_named(tmp_path):
    finished = _launched(
        tmp_path,
        "at(10 * attempt)\n"
        "if attempt == 1:\n"
        "    if task['index'] == 1: os.kill(os.getpid(), signal.SIGSTOP)\n"
        "    time.sleep(60)\n",
        workers=2,
        max_restarts=1,
        stuck_seconds=1.0,
    )
    assert finished.returncode == 0, finished.stderr
    assert "worker 1 is stuck (training, step 10)" in finished.stderr
    assert "held up by a signal such as SIGSTOP" in finished.stderr


def test_what_may_take_long_is_given_time(tmp_path):
    file = tmp_path / "beat"
    progress = Progress(file, 10.0, now=0.0)

    def at(now, count, phase):
        beat = {"count": count, "step": 3, "phase": phase, "run_dir": None}
        file.write_text(json.dumps(beat))
        progress.look(now)

    assert not progress.is_stuck(1e6)  # It has not said that it can be watched.
    at(0.0, 0, heartbeat.STARTING)
    assert not progress.is_stuck(199.0)
    assert progress.is_stuck(201.0)
    at(20.0, 1, heartbeat.TRAINING)  # The first step was compiled for 20 s.
    assert not progress.is_stuck(75.0)
    assert progress.is_stuck(81.0)
    assert not progress.is_stuck(29.0, is_held=True)
    assert progress.is_stuck(31.0, is_held=True)  # It compiles nothing.


class _Failed:
    code = -9
    reason = "killed"


@given(st.lists(st.integers(0, 3), max_size=8), st.integers(0, 4))
def test_restarts_are_counted(steps, most):
    restarts = Restarts(most, 1.0)
    before, given_up = None, False
    for count, step in enumerate(steps):
        ending = Ending([], failed=_Failed(), step=step)
        again = restarts.judge(ending).again
        assert again == (step != before and count < most)
        if not again:
            given_up = True
            break
        before = step
    assert given_up or len(steps) <= most
