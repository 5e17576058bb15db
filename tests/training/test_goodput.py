"""Where the time of a run went: the parts sum to it, over kills too."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time

import pytest

from kerascale.reporting import page, run_record
from kerascale.runtime import run_clock
from kerascale.training.throughput import goodput
from kerascale.training.throughput.goodput import Start


def test_the_parts_of_a_run_sum_to_its_time(run):
    (start,) = goodput.read(run.path)
    assert start.finished
    written = json.loads((run.path / "throughput.json").read_text())
    assert sum(written["parts"].values()) == pytest.approx(written["elapsed"], rel=0.02)
    for part in ("starting", "steps", "evaluating", "saving"):
        assert written["parts"][part] > 0, part
    assert written["parts"]["lost steps"] == written["parts"]["being down"] == 0


def test_the_report_draws_them(run):
    recorded = run_record.read(run.path)
    assert "time: " in recorded.throughput
    (time_drawing,) = [d for d in page.drawings(recorded) if d.name == "time"]
    assert "being down 0 %" in time_drawing.title


def test_a_kill_is_lost_steps_and_being_down():
    killed = Start(100.0, 150.0, 0, 40, {"starting": 10.0, "steps": 40.0})
    after = Start(160.0, 190.0, 30, 50, {"starting": 10.0, "steps": 20.0}, True)
    parts = goodput.parts([killed, after])
    assert parts["lost steps"] == 10.0
    assert parts["being down"] == 10.0
    assert parts["steps"] == 50.0
    assert parts["starting"] == 20.0
    assert sum(parts.values()) == goodput.elapsed([killed, after]) == 90.0


def test_a_person_who_goes_on_is_no_time_of_the_run():
    first = Start(100.0, 150.0, 0, 40, {"steps": 50.0}, finished=True)
    more = Start(900.0, 950.0, 40, 80, {"steps": 50.0}, finished=True)
    assert goodput.elapsed([first, more]) == 100.0
    assert goodput.parts([first, more])["being down"] == 0
    assert goodput.parts([first, more])["lost steps"] == 0


def test_the_end_of_a_process_is_counted(tmp_path, monkeypatch):
    before = Start(100.0, 150.0, 0, 40, {"steps": 50.0})
    last = Start(160.0, 190.0, 40, 50, {"starting": 10.0, "steps": 20.0}, True)
    path = tmp_path / "goodput.json"
    starts = [dataclasses.asdict(start) for start in (before, last)]
    path.write_text(json.dumps({"starts": starts}))
    monkeypatch.setattr(goodput.time, "time", lambda: 193.5)
    goodput.note_end(tmp_path, last)
    found = goodput.read(tmp_path)
    assert goodput.elapsed(found) == sum(goodput.parts(found).values()) == 93.5
    assert goodput.parts(found)["ending"] == 3.5
    # Somebody went on with it since.
    goodput.note_end(tmp_path, last)
    assert goodput.read(tmp_path) == found


def test_a_start_begins_with_its_launcher(monkeypatch):
    monkeypatch.setattr(run_clock.atexit, "register", lambda call: None)
    for told, least in (
        ("", 0),
        (f"{time.time() - 90_000:.6f}".replace(".", ","), 9e4),
    ):
        monkeypatch.setenv(run_clock.BEGAN, told)
        run_clock.end()
        run_clock.begin_process()
        found = run_clock.read()["starting"]
        run_clock.end()
        assert least <= found < least + 80_000
        assert run_clock.BEGAN not in os.environ, "it would be told to other processes"


def test_a_stage_within_a_stage(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(run_clock.time, "monotonic", lambda: now[0])
    run_clock.end()
    run_clock.begin(ago=3.0)
    run_clock.enter("steps")
    now[0] = 5.0
    with run_clock.within("saving"):
        now[0] = 7.0
    now[0] = 8.0
    run_clock.move(2.5, "steps", "waiting for data")
    found = run_clock.read()
    run_clock.end()
    assert found == {
        "starting": 3.0, "steps": 3.5, "saving": 2.0, "waiting for data": 2.5,
    }  # fmt: skip


@pytest.mark.slow
def test_over_a_kill_they_sum_to_the_wall_time(tmp_path):
    command = [sys.executable, "-m", "kerascale", "train", "cnn", "--epochs", "40"]
    command += ["--run-dir", str(tmp_path / "run"), "--filters", "64", "128"]
    command += ["--save-every-steps", "15"]
    began = time.time()
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        while True:
            starts = goodput.read(tmp_path / "run")
            if starts and starts[-1].step > 200:
                break
            assert process.poll() is None
            time.sleep(0.2)
        process.send_signal(signal.SIGKILL)
    time.sleep(3)
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    starts = goodput.read(tmp_path / "run")
    ended = time.time()
    assert len(starts) == 2
    parts = goodput.parts(starts)
    print(parts, ended - began)
    assert sum(parts.values()) == pytest.approx(goodput.elapsed(starts), rel=0.02)
    # Without the end of the last process, behind the record.
    assert goodput.elapsed(starts) == pytest.approx(ended - began, rel=0.05)
    assert parts["being down"] > 3
    assert 0 <= parts["lost steps"] < parts["steps"]
