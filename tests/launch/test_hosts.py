"""A job on several hosts: one is lost, comes back, leaves, fails. Agents are processes
of this machine, under names of their own; workers are small ones that do not train."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

_AGENT = """
import json, pathlib, sys
from kerascale.errors import RefusedError
from kerascale.launch.elastic import agent
command, options = json.loads(sys.argv[1])
try:
    sys.exit(agent.run(command, pathlib.Path("job.hosts"), agent.Options(**options)))
except RefusedError as error:
    sys.exit(f"refused: {error}")
"""
# Steps are kept in a file, as a checkpoint is, by the first worker.
_WORKER = """
import json, os, pathlib, signal, sys, time
from kerascale.runtime import heartbeat
heartbeat.start()
config = json.loads(os.environ.get("TF_CONFIG", '{"task": {"index": 0}}'))
rank = config["task"]["index"]
count = len(config.get("cluster", {"worker": [0]})["worker"])
kept = pathlib.Path("kept")
step = int(kept.read_text()) if kept.exists() else 0
starts = pathlib.Path(f"starts-{os.environ['HOST']}")
starts.write_text((starts.read_text() if starts.exists() else "") + f"{rank}/{count} ")
stopped = []
signal.signal(signal.SIGTERM, lambda *_: stopped.append(1))
def keep():
    if rank == 0:
        pathlib.Path("kept.new").write_text(str(step))
        pathlib.Path("kept.new").rename(kept)
while step < STEPS:
    step += 1
    heartbeat.beat("training", step=step)
    HOOK
    time.sleep(0.05)
    if stopped:
        keep()
        sys.exit(75)
    if step % 10 == 0:
        keep()
keep()
print("done by", rank)
"""


class Job:
    """Agents of one job in a folder."""

    def __init__(self, folder, **options):
        self.folder = folder
        self.options = {
            "hosts": 3,
            "min_workers": 1,
            "lost_seconds": 3.0,
            "settle_seconds": 0.5,
            "together_seconds": 0.5,
            **options,
        }
        self.agents = {}

    def start(self, name, *, steps=10_000, hook="pass", **options):
        worker = _WORKER.replace("STEPS", str(steps)).replace("HOOK", hook)
        command = [sys.executable, "-c", worker]
        told = {**self.options, "name": name, "address": "127.0.0.1", **options}
        with open(self.folder / f"{name}.err", "a") as err:
            self.agents[name] = subprocess.Popen(
                [sys.executable, "-c", _AGENT, json.dumps([command, told])],
                cwd=self.folder,
                env={**os.environ, "HOST": name},
                stdout=subprocess.PIPE,
                stderr=err,
                text=True,
            )

    def said(self, name):
        return (self.folder / f"{name}.err").read_text()

    def wait(self, name, text, seconds=40):
        until = time.monotonic() + seconds
        while text not in self.said(name):
            assert time.monotonic() < until, f"no {text!r} in:\n{self.said(name)}"
            time.sleep(0.05)

    def wait_for_step(self, step, seconds=40):
        until = time.monotonic() + seconds
        while self.step() < step:
            assert time.monotonic() < until
            time.sleep(0.05)

    def step(self):
        kept = self.folder / "kept"
        return int(kept.read_text() or 0) if kept.exists() else 0

    def starts(self, name):
        return (self.folder / f"starts-{name}").read_text().split()

    def codes(self, names=None, seconds=60):
        return [self.agents[n].wait(seconds) for n in names or self.agents]


@pytest.fixture
def job(tmp_path):
    made = []

    def make(**options):
        made.append(Job(tmp_path, **options))
        return made[-1]

    yield make
    for each in made:
        for process in each.agents.values():
            process.kill()
            process.wait()
            process.stdout.close()


@pytest.mark.slow
def test_one_is_lost_and_comes_back(job):
    job = job()
    for name in "abc":
        job.start(name, steps=250)
    job.wait_for_step(20)
    # The host that the first worker runs on; its worker goes with the agent.
    job.agents["a"].kill()
    job.wait("b", "start 2 (a was lost at step")
    assert "worker 0 on b, worker 1 on c; 1 of 3 hosts are missing" in job.said("b")
    before = job.step()
    assert before >= 20
    job.wait_for_step(before + 20)
    job.start("a", steps=250)
    job.wait("b", "start 3 (a came at step", 60)
    assert job.codes() == [0, 0, 0]
    assert (job.starts("a"), job.starts("b")) == (["0/3", "0/3"], ["1/3", "0/2", "1/3"])
    assert job.agents["a"].stdout.read() == "done by 0\n"
    assert job.agents["b"].stdout.read() == ""
    assert (
        "[worker 1] done by 1"
        in (pathlib.Path(job.folder) / "job.hosts/logs/b.log").read_text()
    )


def test_one_sleeps_then_leaves_and_then_all_do(job):
    job = job(hosts=2)
    for name in "ab":
        job.start(name)
    job.wait_for_step(10)
    job.agents["b"].send_signal(signal.SIGSTOP)
    job.wait("a", "(b was lost at step")
    job.agents["b"].send_signal(signal.SIGCONT)
    job.wait("a", "(b came at step")
    before = job.step()
    job.wait_for_step(before + 10)
    job.agents["b"].send_signal(signal.SIGTERM)
    job.wait("a", "(b left at step")
    before = job.step()
    job.wait_for_step(before + 10)
    assert job.starts("a") == ["0/2", "0/1", "0/2", "0/1"]
    assert job.starts("b") == ["1/2", "1/2"]
    assert job.codes("b") == [75]
    job.agents["a"].send_signal(signal.SIGTERM)
    assert job.codes() == [75, 75]


def test_what_fails_again_and_what_is_refused_ends_on_all(job):
    failing = job(hosts=2)
    hook = "if step == 7: time.sleep(100) if rank == 0 else sys.exit(3)"
    for name in "ab":
        failing.start(name, hook=hook)
    assert failing.codes() == [3, 3]
    assert failing.starts("a") == ["0/2", "0/2"]
    said = failing.said("a") + failing.said("b")
    assert (
        "the worker on b ended with exit code 3 at step 7, for the second time" in said
    )
    assert "the worker here failed: exit code 3" in failing.said("b")


@pytest.mark.slow
def test_too_few(job):
    job = job(hosts=2, min_workers=2, start_timeout=6.0)
    for name in "ab":
        job.start(name)
    job.wait_for_step(10)
    job.agents["b"].kill()
    job.wait("a", "waiting for 1 of 2 hosts (here: a)")
    assert job.codes("a") == [75]
    assert "expected at least 2 hosts. Received: a" in job.said("a")


@pytest.mark.slow
def test_a_worker_that_does_not_move_and_a_name_that_is_taken(job):
    job = job(hosts=1, stuck_seconds=2.0)
    hook = "if step == 5 and len(starts.read_text()) < 5: time.sleep(100)"
    job.start("a", hook=hook)
    job.wait("a", "worker 0 is stuck (training, step 5)")
    job.wait("a", "start 2 (the worker on a was stuck at step 5)")
    assert 'File "<string>", line' in job.said("a")  # Its stacks.
    job.wait_for_step(10)
    running = job.agents["a"]
    job.start("a")
    assert job.codes("a") == [1]
    assert "refused: name: expected another one on each host" in job.said("a")
    running.send_signal(signal.SIGTERM)
    assert running.wait(30) == 75
