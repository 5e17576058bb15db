"""`kerascale doctor` finds what is planted, and goes on with the other checks."""

import importlib.metadata
import json
import os
import pathlib
import re
import socket
import subprocess
import sys
import types

import pytest

from kerascale.diagnostics import doctor
from kerascale.diagnostics.doctor import cgroup, computing, memory, processes, processor
from kerascale.runtime import free_memory


@pytest.fixture
def healthy(monkeypatch):
    """No variable of whoever runs the tests is found."""
    for name in ("TF_CONFIG", "OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TPU_NAME"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    """A whole examination of an environment with three faults."""
    with socket.socket() as server:
        server.bind(("", 0))
        server.listen(1)
        port = server.getsockname()[1]
        folder = tmp_path_factory.mktemp("doctor")
        finished = subprocess.run(
            [sys.executable, "-m", "kerascale", "doctor", "--json", f"--port={port}"],
            capture_output=True,
            text=True,
            cwd=folder,
            env={
                **os.environ,
                "TF_CONFIG": '{"cluster": {"worker": ["a:99999"]}, "task": 1',
                "OMP_NUM_THREADS": "1",
                "KERASCALE_CACHE_DIR": str(folder / "cache"),
            },
            timeout=600,
            check=False,
        )
    report = json.loads(finished.stdout.splitlines()[-1])
    by_check = {}
    for finding in report["findings"]:
        by_check.setdefault(finding["check"], []).append(finding)
    return types.SimpleNamespace(
        code=finished.returncode,
        text=finished.stderr,
        report=report,
        port=port,
        folder=folder,
        of=lambda check: by_check[check],
    )


@pytest.mark.slow
def test_what_is_wrong_makes_the_exit_code(planted):
    assert (planted.code, planted.report["level"]) == (1, "wrong")
    wrong = {f["check"] for f in planted.report["findings"] if f["level"] == "wrong"}
    assert wrong == {"TF_CONFIG", "port"}


@pytest.mark.slow
def test_a_broken_tf_config(planted):
    (finding,) = planted.of("TF_CONFIG")
    assert finding["found"].startswith("expected JSON, such as")
    assert "Mend TF_CONFIG, or unset it" in finding["mend"]
    assert "Mend TF_CONFIG, or unset it" in planted.text


@pytest.mark.slow
def test_a_busy_port(planted):
    (finding,) = planted.of("port")
    assert (
        finding["found"] == f"{planted.port} cannot be opened (Address already in use)"
    )
    assert f"ss -ltnp 'sport = :{planted.port}'" in finding["mend"]


@pytest.mark.slow
@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="one core")
def test_one_thread_of_openmp(planted):
    found = [f for f in planted.of("threads") if "OMP_NUM_THREADS=1" in f["found"]]
    assert [f["level"] for f in found] == ["warning"]
    assert found[0]["mend"].startswith("Unset OMP_NUM_THREADS")


@pytest.mark.slow
def test_the_other_checks_are_made(planted):
    (devices,) = planted.of("devices")
    assert devices["level"] == "ok"
    assert {d["type"] for d in devices["values"]["devices"]} >= {"CPU"}
    (collective,) = planted.of("collective")
    assert collective["level"] == "ok", collective
    assert collective["values"]["seconds"] > 0
    (peak,) = planted.of("peak")
    # Any processor of this century, on a busy machine, and no machine of the next.
    assert 1e8 < peak["values"]["flops_per_second"] < 1e16
    # What was measured is kept, for the runs that are compared with it.
    (kept,) = (planted.folder / "cache" / "peaks").iterdir()
    assert json.loads(kept.read_text()) == peak["values"]
    # Nothing else was left behind.
    assert [p.name for p in planted.folder.iterdir()] == ["cache"]


def test_nothing_is_wrong_here(kerascale, healthy):
    finished = kerascale("doctor", "--quick")
    assert finished.returncode == 0, finished.stdout
    assert "\n0 wrong, " in finished.stdout
    assert "collective" not in finished.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--port", "70000"], "port: expected .*Received: 70000"),
        (["--fast"], "--fast: no such flag"),
    ],
)
def test_bad_flags(kerascale, arguments, message):
    finished = kerascale("doctor", *arguments)
    assert finished.returncode == 2
    assert re.search(message, finished.stderr), finished.stderr


def _but(**versions):
    def installed(name):
        if name not in versions:
            return importlib.metadata.version(name)
        if versions[name] is None:
            raise importlib.metadata.PackageNotFoundError(name)
        return versions[name]

    return installed


@pytest.mark.parametrize("version", ["3.14.0", "3.16.0", "2.15.0"])
def test_an_unsupported_keras(healthy, version):
    report = doctor.examine(quick=True, installed=_but(keras=version))
    assert not report
    (finding,) = report.of("keras")
    assert finding.level == "wrong"
    assert finding.found.startswith(f"{version} (supported: ")
    assert finding.mend.startswith("pip install 'keras")
    (tensorflow,) = report.of("tensorflow")
    assert tensorflow.level == "ok"


def test_a_package_that_is_missing(healthy):
    (finding,) = doctor.examine(quick=True, installed=_but(pandas=None)).of("pandas")
    assert (finding.level, finding.found) == ("wrong", "not installed")
    assert "pip install 'pandas" in finding.mend


def test_a_full_disk(healthy, disk):
    left = os.statvfs(disk)
    with open(disk / "filler", "xb") as file:
        os.posix_fallocate(file.fileno(), 0, left.f_bavail * left.f_frsize)
    report = doctor.examine(quick=True, run_dir=disk / "runs" / "new")
    assert not report
    (finding,) = report.of("run folder")
    assert (finding.level, finding.values["free_bytes"]) == ("wrong", 0)
    assert finding.found.endswith("0 MiB free: full")
    assert finding.mend.startswith("Make room")
    assert [p.name for p in disk.iterdir()] == ["filler"]


@pytest.mark.parametrize(
    ("changed", "found"),
    [
        ({"f_bavail": 0}, "0 MiB free: full"),
        ({"f_favail": 0, "f_files": 10}, "no room for another file"),
        ({"f_flag": os.ST_RDONLY}, "read-only"),
    ],
)
def test_a_disk_that_says_it_is_full(healthy, tmp_path, changed, found):
    names = "f_bavail f_frsize f_flag f_files f_favail"

    def statvfs(path):
        real = os.statvfs(path)
        values = {name: getattr(real, name) for name in names.split()}
        return types.SimpleNamespace(**{**values, **changed})

    report = doctor.examine(quick=True, run_dir=tmp_path, statvfs=statvfs)
    for check in ("run folder", "cache"):
        (finding,) = report.of(check)
        assert finding.level == "wrong"
        assert found in finding.found


def test_a_file_where_the_run_folder_should_be(healthy, tmp_path):
    (tmp_path / "file").write_text("")
    report = doctor.examine(quick=True, run_dir=tmp_path / "file" / "runs")
    (finding,) = report.of("run folder")
    assert (finding.level, "is not a folder" in finding.found) == ("wrong", True)


def test_a_cluster_that_cannot_be_joined(healthy, monkeypatch):
    workers = ["127.0.0.1:2222", "no-such-host.invalid:2222"]
    config = {"cluster": {"worker": workers}, "task": {"type": "worker", "index": 0}}
    monkeypatch.setenv("TF_CONFIG", json.dumps(config))
    report = doctor.examine(quick=True)
    assert not report
    assert any("no-such-host" in f.found for f in report.of("TF_CONFIG"))


def test_what_takes_too_long_is_ended(healthy):
    # Importing TensorFlow takes longer.
    report = doctor.examine(limit_seconds=0.3)
    (devices,) = report.of("devices")
    assert (devices.level, devices.found) == (
        "wrong",
        "TensorFlow cannot be imported: took longer than 0.3 s",
    )
    (collective,) = report.of("collective")
    assert "worker 1: took longer than 0.3 s" in collective.found
    assert all(f.level != "wrong" for f in report.findings if f.check == "memory")


def test_a_tensorflow_that_cannot_be_imported(healthy, tmp_path, monkeypatch):
    package = tmp_path / "tensorflow"
    package.mkdir()
    (package / "__init__.py").write_text("raise ImportError('libcudart is missing')")
    # In front of everything, as a broken installation would be.
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "import os; os.environ['PYTHONPATH'] = sys.argv[1]\n"
        "from kerascale.cli import main; sys.exit(main(['doctor']))"
    )
    finished = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=120,
        check=False,
    )
    assert finished.returncode == 1, finished.stderr
    assert "TensorFlow cannot be imported: exit code 1" in finished.stdout
    assert "ImportError: libcudart is missing" in finished.stdout
    assert "keras       3.1" in finished.stdout


def test_a_check_that_fails_itself_is_a_finding(healthy):
    def statvfs(path):
        raise OSError(5, "Input/output error")

    report = doctor.examine(quick=True, statvfs=statvfs)
    (finding,) = report.of("run folder")
    assert finding.level == "wrong"
    assert "Input/output error" in finding.found
    assert report.of("port")


def test_threads():
    def look(quota=None, **environ):
        found = processor.look_at_threads(environ, 8, quota)
        return [(f.level, f.mend) for f in found]

    assert look() == [("ok", "")]
    assert look(quota=8.0) == [("ok", "")]
    ((level, mend),) = look(quota=2.5)
    assert (level, mend) == ("warning", "Set TF_NUM_INTRAOP_THREADS=2.")
    assert look(quota=2.5, TF_NUM_INTRAOP_THREADS="2") == [("ok", "")]
    assert look(OMP_NUM_THREADS="8") == [("ok", "")]
    assert look(TF_NUM_INTRAOP_THREADS="0") == [("ok", "")]
    for wrong in ("many", "-1", "2.5"):
        ((level, mend),) = look(TF_NUM_INTRAOP_THREADS=wrong)
        assert (level, mend) == ("wrong", "Unset TF_NUM_INTRAOP_THREADS.")
    for few_or_many in ("2", "16"):
        ((level, mend),) = look(TF_NUM_INTRAOP_THREADS=few_or_many)
        assert level == "warning"
        assert "set it to 8" in mend


def test_limits_of_a_container(tmp_path):
    assert cgroup.cpu_quota(tmp_path) is None
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text("150000\n")
    (tmp_path / "cpu" / "cpu.cfs_period_us").write_text("100000\n")
    assert cgroup.cpu_quota(tmp_path) == 1.5
    (tmp_path / "cpu.max").write_text("50000 100000\n")
    assert cgroup.cpu_quota(tmp_path) == 0.5
    (tmp_path / "cpu.max").write_text("max 100000\n")
    assert cgroup.cpu_quota(tmp_path) is None
    own = tmp_path / "none"
    assert free_memory.memory_room(tmp_path, own) is None
    (tmp_path / "memory.max").write_text(f"{2**30}\n")
    (tmp_path / "memory.stat").write_text(f"anon {2**29}\nfile {2**30}\n")
    assert free_memory.memory_room(tmp_path, own) == (2**30, 2**29)
    (finding,) = memory.look(limits=free_memory.memory_room(tmp_path, own))
    assert finding.level == "wrong"
    assert "the container has 0.5 GiB left of 1.0 GiB" in finding.found


def test_a_processor_without_vector_units():
    flags = "model name : Old\nflags : fpu sse sse2\n"
    (finding,) = processor.look(flags)
    assert (finding.level, finding.found) == ("warning", "Old, without AVX2")
    (finding,) = processor.look(flags.replace("sse2", "avx2 avx512f amx_tile"))
    assert finding.values["features"] == ["AVX2", "AVX-512", "AMX"]
    (finding,) = processor.look("")  # No x86.
    assert finding.level == "ok"


def test_a_gpu_that_is_not_seen(tmp_path):
    cpu = [{"type": "CPU", "name": ""}]
    both = [*cpu, {"type": "GPU", "name": "one"}]

    def level(devices, **environ):
        (finding,) = computing.judge_devices(devices, environ, tmp_path)
        return finding.level

    assert level(cpu) == "ok"
    (tmp_path / "nvidia0").touch()
    assert level(cpu) == "wrong"
    assert level(both) == "ok"
    assert level(cpu, CUDA_VISIBLE_DEVICES="") == "ok"
    assert level(both, TPU_NAME="a") == "warning"
    (tmp_path / "accel0").touch()
    assert level(both) == "wrong"


def test_tensorflow_is_not_imported_in_its_own_process(run_python, healthy):
    code = (
        "import sys; from kerascale.cli import main; main(['doctor', '--quick'])\n"
        "assert not {'tensorflow', 'keras', 'numpy'} & set(sys.modules)"
    )
    assert "in order" in run_python(code).stdout


def test_children_import_this_kerascale():
    root = pathlib.Path(doctor.__file__).parents[3]
    assert processes.environment()["PYTHONPATH"].split(os.pathsep)[0] == str(root)
