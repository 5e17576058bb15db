"""Each shipped alert fires in a real Prometheus when a run gives cause, only then."""

import contextlib
import os
import shutil
import signal
import time

import pytest
from helpers.monitored import Prometheus, Run, free_port, wait_until

pytestmark = pytest.mark.slow

# Steps of an even length, and checkpoints that are too old after 15 s.
_PACE = "step:1:pace"
_SAVES = ("--save-every-seconds", 5)
_LONG = ("--epochs", "1000")


def _has_begun(run, prometheus):
    steps = prometheus.query("kerascale_train_steps_total").values()
    return run.process.poll() is not None or max(steps, default=0) > 30


@pytest.fixture
def watched(tmp_path, train):
    """Starts a run that a Prometheus of its own watches; both are gone at the end."""
    program = shutil.which("prometheus")
    if program is None:
        pytest.skip("prometheus is not installed (apt-get install prometheus)")
    with contextlib.ExitStack() as stack:

        def start(run_dir, *arguments, **options):
            port = free_port()
            folder = tmp_path / "prometheus"
            prometheus = Prometheus(program, folder, port)
            stack.callback(prometheus.close)
            run = Run(train, run_dir, port, *arguments, **options)
            stack.callback(run.close)
            wait_until(lambda: _has_begun(run, prometheus), 120)
            assert run.process.poll() is None, run.text()
            return run, prometheus

        yield start


def test_silence(watched, tmp_path):
    """A run with checkpoints and validation, which ends by itself."""
    run, prometheus = watched(tmp_path / "run", *_SAVES, "--epochs", "40", events=_PACE)
    steps = []
    while run.process.poll() is None:
        steps += prometheus.query("kerascale_train_steps_total").values()
        assert not prometheus.firing()
        time.sleep(1)
    assert run.end() == 0, run.text()
    assert len(steps) > 20
    assert steps == sorted(steps)
    time.sleep(15)  # As long as any rule looks back, but for restarts.
    assert not prometheus.fired()
    last = "last_over_time({}[1h])"
    (planned,) = prometheus.query(last.format("kerascale_train_planned_steps")).values()
    assert planned == 40 * 18
    (done,) = prometheus.query(last.format("kerascale_train_steps_total")).values()
    assert 0.9 * planned < done <= planned
    # What the dashboard is made of.
    (median,) = prometheus.query(
        "histogram_quantile(0.5, sum by (le) "
        "(last_over_time(kerascale_train_step_seconds_bucket[1h])))"
    ).values()
    assert 0.05 < median < 0.25


def test_a_stopped_process(watched, tmp_path):
    run, prometheus = watched(tmp_path / "run", *_SAVES, *_LONG, events=_PACE)
    assert not prometheus.firing()
    os.kill(run.process.pid, signal.SIGSTOP)
    wait_until(lambda: "KerascaleStalled" in prometheus.firing(), 30)
    os.kill(run.process.pid, signal.SIGCONT)
    wait_until(lambda: not prometheus.firing(), 30)
    assert prometheus.fired() == {"KerascaleStalled"}


def test_a_step_that_does_not_end(watched, tmp_path):
    events = f"{_PACE},step:60:block"
    _, prometheus = watched(tmp_path / "run", *_LONG, events=events)
    assert not prometheus.firing()
    wait_until(lambda: "KerascaleStalled" in prometheus.firing(), 60)
    assert prometheus.fired() == {"KerascaleStalled"}


def test_a_nan_that_ends_the_run(watched, tmp_path):
    events = f"{_PACE},step:80:poison"
    run, prometheus = watched(tmp_path / "run", *_SAVES, *_LONG, events=events)
    assert run.end() == 1
    # The run is over, and the alert has its reason.
    wait_until(lambda: prometheus.firing() == {"KerascaleNonFinite"}, 5)
    wait_until(lambda: not prometheus.firing(), 30)
    assert prometheus.fired() == {"KerascaleNonFinite"}


def test_a_nan_that_the_run_goes_back_from(watched, tmp_path):
    events = f"{_PACE},step:80:poison"
    rollback = ("--on-nan", "rollback")
    run, prometheus = watched(
        tmp_path / "run", *_SAVES, *_LONG, *rollback, events=events
    )
    wait_until(lambda: prometheus.firing() == {"KerascaleNonFinite"}, 30)
    (rollbacks,) = prometheus.query("kerascale_train_rollbacks_total").values()
    assert rollbacks == 1
    wait_until(lambda: not prometheus.firing(), 30)
    assert run.process.poll() is None
    assert prometheus.fired() == {"KerascaleNonFinite"}


def _on_full_disk(watched, disk, events, *arguments):
    return watched(
        disk / "run",
        *_LONG,
        *arguments,
        # 287 steps, some 20 s: weights are written at the end of an epoch, too.
        *("--save-every-seconds", 1, "--batch-size", 4),
        events=f"{_PACE},{events}",
        environ={"KERASCALE_TEST_FILLER": str(disk / "filler")},
    )


def test_a_full_disk(watched, disk):
    run, prometheus = _on_full_disk(watched, disk, "step:60:fill,step:180:free")
    wait_until(lambda: "KerascaleSavesFailing" in prometheus.firing(), 30)
    (failed,) = prometheus.query("kerascale_train_failed_saves_total").values()
    assert failed >= 1
    # More than three intervals without a checkpoint.
    wait_until(lambda: "KerascaleCheckpointTooOld" in prometheus.firing(), 30)
    wait_until(lambda: not prometheus.firing(), 30)
    assert run.process.poll() is None, run.text()
    both = {"KerascaleSavesFailing", "KerascaleCheckpointTooOld"}
    assert prometheus.fired() == both


def test_a_full_disk_that_ends_the_run(watched, disk):
    stops = ("--on-save-failure", "stop")
    run, prometheus = _on_full_disk(watched, disk, "step:280:fill", *stops)
    assert run.end() == 1
    wait_until(lambda: prometheus.firing() == {"KerascaleSavesFailing"}, 5)
    wait_until(lambda: not prometheus.firing(), 30)


def test_slower_steps(watched, tmp_path):
    events = f"{_PACE},step:350:slow"
    _, prometheus = watched(tmp_path / "run", *_LONG, events=events)
    wait_until(lambda: prometheus.firing() == {"KerascaleSlow"}, 90)
    assert prometheus.fired() == {"KerascaleSlow"}


def _goes_on(prometheus, restarts):
    """Whether a job trains that was started again so many times."""
    counts = prometheus.query("sum(kerascale_train_restarts_total)")
    steps = prometheus.query("kerascale_train_steps_total")
    return list(counts.values()) == [restarts] and max(steps.values(), default=0) > 30


def test_a_job_that_is_killed_twice(watched, tmp_path):
    """Each of two workers once; only the chief is read."""
    run, prometheus = watched(
        tmp_path / "run", *_SAVES, *_LONG, events=_PACE, workers=2
    )
    for count in (1, 2):
        before = len(run.pids())
        os.kill(run.pids()[-count], signal.SIGKILL)
        wait_until(lambda before=before: len(run.pids()) > before, 60, "a restart")
        assert "KerascaleRestarting" not in prometheus.fired()
        wait_until(lambda count=count: _goes_on(prometheus, count), 120)
    wait_until(lambda: "KerascaleRestarting" in prometheus.firing(), 10)
    reasons = prometheus.query('kerascale_train_restarts_total{reason="killed"}')
    assert list(reasons.values()) == [2]
    assert prometheus.fired() == {"KerascaleRestarting"}
