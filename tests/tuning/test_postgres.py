"""A study in a database server, which several hosts could share."""

import glob
import os
import shutil
import socket
import subprocess
import tempfile

import pytest

from kerascale.tuning import space
from kerascale.tuning.study import Study
from kerascale.tuning.study_folder import StudyFolder
from kerascale.tuning.wishes import Ended, Search

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def url():
    """A server of its own, which nobody else reaches."""
    pytest.importorskip("psycopg2")
    found = sorted(glob.glob("/usr/lib/postgresql/*/bin/pg_ctl"))
    if not found:
        pytest.skip("PostgreSQL is not installed")
    programs = os.path.dirname(found[-1])
    # The server refuses to run as root.
    run_as = ["runuser", "-u", "postgres", "--"] if os.getuid() == 0 else []
    folder = tempfile.mkdtemp(prefix="kerascale-pg-")
    if run_as:
        shutil.chown(folder, "postgres")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    data = os.path.join(folder, "data")

    def call(name, *arguments):
        command = [*run_as, os.path.join(programs, name), *arguments]
        subprocess.run(command, check=True, cwd=folder, stdout=subprocess.DEVNULL)

    call("initdb", "-D", data, "-A", "trust", "-U", "tester", "--no-sync")
    options = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c fsync=off"
    log = os.path.join(folder, "log")
    call("pg_ctl", "-D", data, "-o", options, "-l", log, "-w", "start")
    yield f"postgresql+psycopg2://tester@127.0.0.1:{port}/postgres"
    call("pg_ctl", "-D", data, "-m", "immediate", "stop")
    shutil.rmtree(folder, ignore_errors=True)


def test_two_processes_share_a_study_in_postgresql(url, recipe, tmp_path):
    dimensions = space.parse(recipe.Config, ["learning_rate=0.1..0.2", "units=[4,8]"])
    search = Search(recipe, recipe.Config(epochs=2), dimensions, sampler="tpe")
    one, other = (Study(search, StudyFolder(tmp_path / "study"), url) for _ in range(2))
    begun = [study.claim(12) for study in (one, other, one, other)]
    assert [trial.number for trial in begun] == [0, 1, 2, 3]
    # The fifth depends on the first, whose result is not known.
    assert one.claim(12) is None
    score = 0.1 + 0.2  # Which no text of few digits is.
    one.report(begun[0], 1, score)
    one.tell(begun[0], Ended("complete", score, best_epoch=1), {"completed_rung_0": 1})
    again = other.result(0)
    assert (again.value, again.intermediate_values) == (score, {1: score})
    assert other.claim(12).number == 4
    in_sqlite = Study(search, StudyFolder(tmp_path / "sqlite"))
    same = [in_sqlite.claim(12) for _ in range(4)]
    assert [t.params for t in same] == [t.params for t in begun]
