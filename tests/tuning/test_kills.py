"""A search that is killed again and again ends as if nothing had happened."""

import json
import os
import random
import signal
import subprocess
import sys
import time

import pytest

pytestmark = pytest.mark.slow

SEARCH = (
    *("tune", "mlp", "--field", "learning_rate=log:1e-4..1e-1"),
    *("--field", "units=[8,16]", "--epochs", "8", "--trials", "8", "--json"),
    *("--pruner", "median"),
)


def _start(folder, *arguments):
    return subprocess.Popen(
        [sys.executable, "-m", "kerascale", *SEARCH, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        cwd=folder,
    )


def _trained(folder):
    """How much has been trained, on a machine however busy."""
    return sum(p.stat().st_size for p in folder.glob("study/trials/*/history.csv"))


def _searched(folder, kills, *arguments):
    """The trials of a search whose command was killed so often, and their runs."""
    generator = random.Random(7)
    for _ in range(kills):
        before = _trained(folder)
        process = _start(folder, *arguments)
        while process.poll() is None and _trained(folder) <= before:
            time.sleep(0.05)
        time.sleep(generator.uniform(0, 4))
        # What it has started must end with it.
        process.send_signal(signal.SIGKILL)
        process.communicate()
    out, _ = _start(folder, *arguments).communicate()
    trials = json.loads(out.splitlines()[-1])["trials"]
    runs = sorted(p.name for p in (folder / "study" / "trials").iterdir() if p.is_dir())
    return trials, runs


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    return _searched(tmp_path_factory.mktemp("whole"), 0, "--study", "study")


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_no_trial_is_lost_or_doubled(undisturbed, tmp_path, jobs):
    kills = int(os.environ.get("KERASCALE_KILLS", "6"))
    found = _searched(tmp_path, kills, "--study", "study", "--jobs", jobs)
    assert found == undisturbed
    assert found[1] == [f"{number:04d}" for number in range(8)]


def test_two_commands_on_one_study(undisturbed, tmp_path):
    arguments = ("--study", "study")
    commands = [_start(tmp_path, *arguments) for _ in range(2)]
    ends = [command.communicate()[0] for command in commands]
    for out in ends:
        assert json.loads(out.splitlines()[-1])["trials"] == undisturbed[0]
