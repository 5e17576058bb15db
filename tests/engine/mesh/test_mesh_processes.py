"""Processes that share a mesh train what one process trains; one may be killed."""

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from helpers import local_hosts, mesh_cells, mesh_tiny
from test_mesh import _worst

import kerascale as ks
from kerascale.launch import launch
from kerascale.launch.environment import free_ports
from kerascale.runs.checkpoint import Store, injected_faults

_NO_JAX = importlib.util.find_spec("jax") is None
needs_jax = pytest.mark.skipif(_NO_JAX, reason="the extra jax is not installed")

_MESH = ("--strategy", "fsdp", "--mesh", "data=4")
_TRAIN = "train mlp --units 16 --batch-size 64 --optimizer adamw --dropout 0.2".split()


def _cluster(addresses, index=0):
    task = {"type": "worker", "index": index}
    return {"TF_CONFIG": json.dumps({"cluster": {"worker": addresses}, "task": task})}


@needs_jax
def test_a_process_reads_the_rows_of_its_own_devices():
    from kerascale.datasets.gathers import FromArrays
    from kerascale.datasets.pipeline import Batches
    from kerascale.engine.mesh import rows

    x = np.arange(22, dtype="float32")
    batches = Batches(FromArrays((x[:, None], x)), 22, 8, seed=1, shuffle=True)
    whole = rows._rows(batches, 3, 0, 2, None)
    own = rows._rows(batches, 3, 0, 2, [2, 3, 6, 7])
    assert own[0].shape == (2, 4, 1)
    for all_of_it, part in zip(whole, own, strict=True):
        np.testing.assert_array_equal(all_of_it[:, [2, 3, 6, 7]], part)
    assert rows._within(slice(6, 8), [2, 3, 6, 7], 8) == slice(2, 4)
    assert rows._within(slice(None, 2), [0, 1, 4, 5], 8) == slice(0, 2)


@needs_jax
def test_two_processes_train_what_one_device_trains(in_jax, tmp_path):
    addresses = [f"127.0.0.1:{port}" for port in free_ports(2)]
    both = [_cluster(addresses, index) for index in range(2)]
    in_jax(mesh_tiny.__file__, tmp_path / "found.npz", each=both)
    expected = mesh_tiny.trained(ks.strategies.get("one_device"))
    found = [*np.load(tmp_path / "found.npz").values()]
    for one, other in zip(expected, found, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-6)
    saved = Store(tmp_path / "found.npz.checkpoints").newest()[0]
    for number, weights in enumerate(found[1:]):
        np.testing.assert_array_equal(saved.arrays[f"model/{number:05d}"], weights)


def _environment():
    names = ("KERAS_BACKEND", "XLA_FLAGS", "TF_CONFIG")
    return {k: v for k, v in os.environ.items() if k not in names}


def _launched(command, workers=2):
    with open(os.devnull, "w") as nowhere:
        code = launch(command, workers=workers, environ=_environment(), stdout=nowhere)
    assert code == 0


@pytest.fixture(scope="module")
def in_folder(tmp_path_factory):
    """Types a command, in the folder that it returns the name of."""
    folder = tmp_path_factory.mktemp("processes")

    def typed(*arguments, workers=1, code=0):
        command = [*map(str, arguments)]
        if workers > 1:
            command = ["launch", "--workers", str(workers), "--", *command]
        done = subprocess.run(
            [sys.executable, "-m", "kerascale", *command],
            cwd=folder,
            env=_environment(),
            capture_output=True,
            text=True,
        )
        assert done.returncode == code, done.stderr[-3000:]
        return done

    typed.folder = folder
    return typed


@pytest.fixture(scope="module")
def in_one_process(in_folder):
    in_folder(*_TRAIN, "--epochs", 2, *_MESH, "--run-dir", "one")
    return in_folder.folder / "one"


@pytest.fixture(scope="module")
def in_two_processes(in_folder):
    in_folder(*_TRAIN, "--epochs", 2, *_MESH, "--run-dir", "two-of-them", workers=2)
    return in_folder.folder / "two-of-them"


def _assert_same(expected, found):
    """Two runs: weights, optimizer, seeds, losses, history and the final numbers."""
    runs = (expected, found)
    stores = [Store(run / "checkpoints").newest()[0] for run in runs]
    metrics = [json.loads((run / "evaluation.json").read_text()) for run in runs]
    losses = [np.fromfile(run / "losses.bin", "<f8") for run in runs]
    history = [
        np.genfromtxt(run / "history.csv", delimiter=",", skip_header=1) for run in runs
    ]
    assert stores[0].step == stores[1].step
    assert losses[0].size == stores[0].step
    np.testing.assert_allclose(*losses, rtol=0, atol=1e-5)
    np.testing.assert_allclose(*history, rtol=0, atol=1e-5)
    assert abs(metrics[0]["loss"] - metrics[1]["loss"]) < 1e-5
    for name, array in stores[0].arrays.items():
        other = stores[1].arrays[name]
        if array.dtype.kind == "f":
            np.testing.assert_allclose(array, other, rtol=0, atol=1e-5)
        else:
            np.testing.assert_array_equal(array, other)


@needs_jax
@pytest.mark.slow
def test_two_processes_give_what_one_gives(in_folder, in_one_process):
    done = in_folder(
        *_TRAIN, "--epochs", 2, *_MESH, "--run-dir", "two", "--json", workers=2
    )
    assert json.loads(done.stdout)["workers"] == 2
    assert "[Gloo]" not in done.stdout
    _assert_same(in_one_process, in_folder.folder / "two")
    folders = in_one_process, in_folder.folder / "two"
    reached = [json.loads((f / "throughput.json").read_text()) for f in folders]
    # 64 - 16 - 10: forward, to the kernels, and to the input of the second layer.
    operations = 2 * 2 * 64 * (64 * 16 + 16 * 10) + 2 * 64 * 16 * 10
    for each in reached:
        assert each["flops_per_step"] == operations
        assert 0 < each["share_of_peak"] < 1
        assert each["peak_of"] == "the cores that 4 devices share"
    log = in_folder.folder / "two.worker-1.log"
    assert "Traceback" not in log.read_text()


@needs_jax
@pytest.mark.slow
def test_a_run_goes_on_in_another_number_of_processes(in_folder, in_one_process):
    first, last = [[*_TRAIN, "--epochs", n, "--run-dir"] for n in (1, 2)]
    in_folder(*first, "there", *_MESH, workers=2)
    in_folder(*last, "there", *_MESH)
    _assert_same(in_one_process, in_folder.folder / "there")
    in_folder(*first, "back", *_MESH)
    in_folder(*last, "back", *_MESH, workers=2)
    _assert_same(in_one_process, in_folder.folder / "back")


@needs_jax
@pytest.mark.slow
def test_a_run_goes_on_where_tensorflow_left_it_and_back(in_folder, in_one_process):
    first, last = [[*_TRAIN, "--epochs", n, "--run-dir"] for n in (1, 2)]
    other = ("--strategy", "one_device")
    in_folder(*first, "from", *other)
    in_folder(*last, "from", *_MESH, workers=2)
    _assert_same(in_one_process, in_folder.folder / "from")
    in_folder(*first, "to", *_MESH, workers=2)
    in_folder(*last, "to", *other)
    _assert_same(in_one_process, in_folder.folder / "to")


@needs_jax
@pytest.mark.slow
def test_killed_processes_end_as_if_nothing_had_happened(in_folder):
    command = ["chaos", "mlp", "--kills", 5, "--workers", 2, *_MESH]
    assert "metrics are the same (sha256" in in_folder(*command).stdout


@needs_jax
@pytest.mark.slow
def test_a_mesh_that_processes_cannot_share(in_folder):
    done = in_folder(
        *_TRAIN, "--strategy", "fsdp", "--mesh", "data=3", workers=2, code=2
    )
    assert "one that 2 processes share evenly" in done.stderr
    assert not (in_folder.folder / "runs").exists()


@needs_jax
@pytest.mark.slow
def test_two_hosts_give_what_one_process_gives(in_folder, in_one_process):
    why_not = local_hosts.missing()
    if why_not:
        pytest.skip(why_not)
    hosts = local_hosts.Hosts(2)
    command = [*_TRAIN, "--epochs", "2", *_MESH, "--run-dir", "hosts"]
    command = [sys.executable, "-m", "kerascale", *command]
    addresses = [f"{hosts.address(name)}:2345" for name in hosts.names]
    try:
        started = [
            subprocess.Popen(
                hosts.command(name, command),
                cwd=in_folder.folder,
                env={**_environment(), **_cluster(addresses, index)},
                stderr=subprocess.PIPE,
                text=True,
            )
            for index, name in enumerate(hosts.names)
        ]
        said = [process.communicate(timeout=300)[1] for process in started]
        assert [process.returncode for process in started] == [0, 0], said
    finally:
        hosts.stop()
    _assert_same(in_one_process, in_folder.folder / "hosts")


@needs_jax
@pytest.mark.slow
def test_parts_are_read_on_other_meshes(in_folder, in_one_process):
    there = in_folder.folder / "meshes"
    for epochs, workers, mesh in [
        (1, 2, ("--strategy", "model_parallel", "--mesh", "data=1,model=4")),
        (2, 4, _MESH),
    ]:
        command = [*_TRAIN, "--epochs", epochs, *mesh, "--run-dir", there]
        in_folder(*command, workers=workers)
        newest = Store(there / "checkpoints").steps()[-1]
        files = os.listdir(there / "checkpoints" / f"{newest:012d}")
        assert sum(name.startswith("part-") for name in files) == 2 * workers
    _assert_same(in_one_process, there)


@needs_jax
@pytest.mark.slow
def test_what_one_process_has_all_of_is_written_by_it(in_folder):
    mesh = ("--strategy", "model_parallel", "--mesh", "data=2,model=2")
    run = in_folder.folder / "copies"
    in_folder(*_TRAIN, "--epochs", 1, *mesh, "--run-dir", run, workers=2)
    newest = Store(run / "checkpoints").steps()[-1]
    files = os.listdir(run / "checkpoints" / f"{newest:012d}")
    assert sorted(files) == ["manifest.json", "state.json", "state.npz"]


def _pair(in_folder, run, *more, faults=({}, {}), prefix=((), ())):
    """The exit codes of two processes that nobody watches over, and what they said."""
    addresses = [f"127.0.0.1:{port}" for port in free_ports(2)]
    command = [*_TRAIN, "--epochs", "2", *_MESH, "--run-dir", run, *more]
    command = [sys.executable, "-m", "kerascale", *map(str, command)]
    started = [
        subprocess.Popen(
            [*prefix[index], *command],
            cwd=in_folder.folder,
            env={**_environment(), **_cluster(addresses, index), **faults[index]},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for index in range(2)
    ]
    said = [process.communicate(timeout=300)[1] for process in started]
    return [process.returncode for process in started], said


@needs_jax
@pytest.mark.slow
@pytest.mark.parametrize("killed", [0, 1])
@pytest.mark.parametrize("point", injected_faults.PART_POINTS)
def test_a_process_that_is_killed_while_it_writes_its_part(
    in_folder, in_two_processes, killed, point
):
    run = in_folder.folder / f"{point.partition(':')[2]}-{killed}"
    fault = {injected_faults.VARIABLE: f"{point}:kill:from=20"}
    faults = [fault if index == killed else {} for index in range(2)]
    every = ("--save-every-steps", 6)
    codes, _ = _pair(in_folder, run, *every, faults=faults)
    assert codes[killed] == -signal.SIGKILL
    assert codes[1 - killed] != 0
    assert Store(run / "checkpoints").newest()[0].step == 18
    codes, said = _pair(in_folder, run, *every)
    assert codes == [0, 0], said
    assert "resuming at step 18" in said[0]
    one, other = (Store(r / "checkpoints").newest()[0] for r in (run, in_two_processes))
    for name, array in one.arrays.items():
        np.testing.assert_array_equal(array, other.arrays[name])


@needs_jax
@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="to hide a folder needs root")
def test_a_run_folder_that_processes_do_not_share(in_folder):
    shared = in_folder.folder / "hidden"
    shared.mkdir()
    hide = f'mount -t tmpfs none {shared} && exec "$@"'
    prefix = ((), ("unshare", "-m", "sh", "-c", hide, "sh"))
    codes, said = _pair(in_folder, shared / "run", prefix=prefix)
    assert codes == [2, 2]
    assert "expected a folder that all processes see" in said[0]
    assert "process 1 on" in said[0]
    assert not os.listdir(shared)


@needs_jax
@pytest.mark.slow
@pytest.mark.parametrize("killed", [0, 1])
def test_who_is_left_ends_by_itself(in_folder, killed):
    """Nobody watches over these two."""
    addresses = [f"127.0.0.1:{port}" for port in free_ports(2)]
    command = [*_TRAIN, "--epochs", "1000", *_MESH, "--run-dir", f"left-{killed}"]
    command = [sys.executable, "-m", "kerascale", *command]
    started = [
        subprocess.Popen(
            command,
            cwd=in_folder.folder,
            env={**_environment(), **_cluster(addresses, index)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        for index in range(2)
    ]
    store = Store(in_folder.folder / f"left-{killed}" / "checkpoints")
    try:
        until = time.monotonic() + 120
        while not store.steps() and time.monotonic() < until:
            time.sleep(0.2)
        started[killed].kill()
        started[1 - killed].communicate(timeout=120)
        assert started[1 - killed].returncode not in (0, None)
    finally:
        for process in started:
            process.kill()
            process.wait()


_ACROSS = ("mlp", "causal", "transformer", "mixed_bfloat16")


@needs_jax
@pytest.mark.slow
@pytest.mark.parametrize(
    ("mesh", "names"),
    [("fsdp:data=4", ()), ("data=2,model=2", _ACROSS), ("data=1,model=4", _ACROSS)],
)
def test_every_feature_in_two_processes(mesh, names, on_tensorflow, tmp_path):
    _launched([sys.executable, mesh_cells.__file__, str(tmp_path), mesh, *names])
    wrong = {}
    for name in names or mesh_cells.names():
        worst = _worst(on_tensorflow(name), np.load(tmp_path / f"{name}.npz"), name)
        key = max(worst, key=worst.get)
        if not worst[key] < 1:
            wrong[name] = f"{key}: {worst[key]:.3g} of what is allowed"
    assert not wrong
