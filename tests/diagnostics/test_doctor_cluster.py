"""`doctor --cluster`: two processes, in order and with one fault each."""

import json
import os
import subprocess
import sys

import pytest

from kerascale.cli import main
from kerascale.launch.environment import free_ports

_PLANT = """
import sys
import kerascale.cli as cli
from kerascale.diagnostics.doctor.cluster import facts
from kerascale.diagnostics.doctor.cluster import shared_folder
{plant}
sys.exit(cli.main(sys.argv[1:]))
"""
_CLOCK = "before = facts.now; facts.now = lambda: before() + 30"
_VERSION = "v = facts.versions; facts.versions = lambda: {**v(), 'keras': '3.14.0'}"
_LATE = """
import time
look = shared_folder.os.listdir
began = time.monotonic()
shared_folder.os.listdir = lambda p: look(p) if time.monotonic() - late > 2 else []
late = None
inner = shared_folder.look
def slow(*arguments):
    global late
    late = time.monotonic()
    return inner(*arguments)
shared_folder.look = slow
"""


def _examined(tmp_path, *, plant="", flags=("--quick",), dirs=None, others=None):
    """The exit codes of both workers, and the first one's findings."""
    workers = [f"127.0.0.1:{port}" for port in free_ports(2)]
    running = []
    for index in range(2):
        cluster = [*workers] if others is None or index else [workers[0], others]
        environ = {
            **os.environ,
            "TF_CONFIG": json.dumps(
                {
                    "cluster": {"worker": cluster},
                    "task": {"type": "worker", "index": index},
                }
            ),
        }
        code = _PLANT.format(plant=plant if index else "")
        folder = (dirs or ["shared", "shared"])[index]
        command = [sys.executable, "-c", code, "doctor", "--cluster", "--json", *flags]
        command += ["--run-dir", str(tmp_path / folder)]
        running.append(
            subprocess.Popen(
                command,
                env=environ,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
    outputs = [process.communicate(timeout=120) for process in running]
    assert outputs[0][0], outputs
    report = json.loads(outputs[0][0].splitlines()[-1])
    return [process.returncode for process in running], report


def _wrong(report):
    return {f["check"]: f["found"] for f in report["findings"] if f["level"] == "wrong"}


def test_two_workers_in_order(tmp_path):
    data = tmp_path / "data.csv"
    data.write_text("a,b\n1,2\n")
    codes, report = _examined(tmp_path, flags=("--quick", "--data", str(data)))
    assert codes == [0, 0], report
    found = {f["check"]: f["found"] for f in report["findings"]}
    assert found["reach"].startswith("all 2 ways between 2 workers")
    assert "shared" in found["run folder"]
    assert len(found["data"]) == 12
    assert not (tmp_path / "shared").exists(), "it was not there before"


@pytest.mark.parametrize(
    ("plant", "check", "says"),
    [
        (_CLOCK, "clocks", "worker 1 is 30.0 s ahead of worker 0"),
        (_VERSION, "keras", "3.14.0 on worker 1"),
        (_LATE, "run folder", "s late"),
    ],
)
def test_one_fault_is_named(tmp_path, plant, check, says):
    codes, report = _examined(tmp_path, plant=plant)
    assert codes == [1, 1]
    assert list(_wrong(report)) == [check]
    assert says in _wrong(report)[check]


@pytest.mark.slow
def test_a_folder_that_is_not_shared(tmp_path):
    codes, report = _examined(tmp_path, dirs=["one", "two"])
    assert codes == [1, 1]
    assert "does not see what worker" in _wrong(report)["run folder"]


def test_a_port_that_is_closed(tmp_path):
    closed = f"127.0.0.1:{free_ports(1)[0]}"
    flags = ("--quick", "--limit-seconds", "6")
    codes, report = _examined(tmp_path, others=closed, flags=flags)
    assert codes == [1, 1]
    assert f"worker 0 does not reach worker 1 at {closed}" in _wrong(report)["reach"]


@pytest.mark.slow
def test_the_sum(tmp_path):
    codes, report = _examined(tmp_path, flags=())
    assert codes == [0, 0], report
    (found,) = [f for f in report["findings"] if f["check"] == "sum of 40 MB"]
    assert 0 < found["values"]["seconds"] < 10


def test_one_process_is_no_cluster(kerascale):
    refused = kerascale("doctor", "--cluster", env={"TF_CONFIG": ""})
    assert refused.returncode == 2
    assert "expected a process of a cluster" in refused.stderr


def test_launch_starts_a_look_at_all_workers_alone(capsys):
    assert main(["launch", "--workers", "2", "--", "doctor"]) == 2
    assert "expected doctor --cluster" in capsys.readouterr().err


@pytest.mark.slow
def test_workers_of_launch_look_at_each_other(kerascale):
    command = ["launch", "--workers", "2", "--", "doctor", "--cluster", "--json"]
    finished = kerascale(*command)
    assert finished.returncode == 0, finished.stderr
    report = json.loads(finished.stdout.splitlines()[-1])
    assert "sum of 40 MB" in [f["check"] for f in report["findings"]]
