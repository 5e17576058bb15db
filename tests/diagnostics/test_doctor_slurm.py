"""`doctor --cluster` as a step of a real Slurm, on two nodes."""

import json
import subprocess
import sys

import pytest
from helpers import local_slurm

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        local_slurm.missing() is not None, reason=str(local_slurm.missing())
    ),
]


@pytest.fixture(scope="module")
def slurm(tmp_path_factory):
    cluster = local_slurm.Slurm(tmp_path_factory.mktemp("slurm"), 2)
    yield cluster
    cluster.stop()


def _doctor(slurm, folder, *flags, before=()):
    """Its exit code, what it printed, and what it found: check -> level."""
    command = [
        "srun", "--nodes=2", "--ntasks-per-node=1", *before, sys.executable, "-m",
        "kerascale", "doctor", "--cluster", "--run-dir", str(folder / "run"), *flags,
        "--json",
    ]  # fmt: skip
    finished = subprocess.run(
        command, cwd=folder, env=slurm.environ, capture_output=True, text=True,
        timeout=300, check=False,
    )  # fmt: skip
    lines = [line for line in finished.stdout.splitlines() if line.startswith("{")]
    assert len(lines) == 1, finished.stdout + finished.stderr
    found = json.loads(lines[0])["findings"]
    return finished.returncode, finished.stderr, {f["check"]: f["level"] for f in found}


def test_a_sound_cluster(slurm, tmp_path):
    data = tmp_path / "data.csv"
    data.write_text("x,y\n1,a\n")
    code, said, found = _doctor(slurm, tmp_path, "--data", str(data))
    assert code == 0, said
    assert set(found.values()) == {"ok"}, found
    assert {"TF_CONFIG", "reach", "clocks", "data", "run folder"} <= set(found)
    assert any("40 MB" in name for name in found)
    assert not (tmp_path / "run").exists(), "it left something"


def test_what_differs_between_the_nodes_is_wrong_on_all(slurm, tmp_path):
    # Each task has a working directory, and so a file, of its own.
    script = tmp_path / "own.sh"
    script.write_text(
        '#!/bin/bash\nmkdir -p "$SLURM_PROCID"; cd "$SLURM_PROCID" || exit\n'
        'echo "$SLURM_PROCID" > data.csv\nexec "$@"\n'
    )
    script.chmod(0o755)
    code, said, found = _doctor(
        slurm, tmp_path, "--data", "data.csv", "--quick", before=(str(script),)
    )
    assert code == 1, said
    assert {name for name, level in found.items() if level != "ok"} == {"data"}
