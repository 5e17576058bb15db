"""A run in a store is whole whenever its copying ends, and goes on elsewhere."""

import pathlib
import signal
import subprocess
import sys
import time

import numpy as np
import pyarrow.fs
import pytest
from helpers import killing, stores
from helpers import object_stores as servers

import kerascale as ks
from kerascale.runs import layout, timeline
from kerascale.runs.checkpoint import Store
from kerascale.runs.mirror import Mirror, fetch
from kerascale.runtime import object_stores

_ADDRESS = "s3://bucket/runs/a"


@pytest.fixture
def store(tmp_path, monkeypatch):
    (tmp_path / "store" / "bucket").mkdir(parents=True)
    found = servers.FolderStore(tmp_path / "store")
    monkeypatch.setattr(object_stores, "_s3", lambda bucket, anonymous: found)
    return found


@pytest.fixture
def run(tmp_path):
    return _begun(tmp_path / "run")


def _begun(run):
    run.mkdir()
    (run / layout.CONFIG).write_text('{"recipe": "mlp"}')
    (run / layout.LOCK).touch()
    timeline.note(run, "started", step=0)
    return run


def _train_to(run, step):
    """What a training changes: a checkpoint, and files that grow or are replaced."""
    checkpoints = Store(run / layout.CHECKPOINTS, keep=2)
    checkpoints.save(step, {"w": np.full(50_000, float(step))}, {"epoch": step})
    (run / layout.CHECKPOINTS / layout.BEST_WEIGHTS).write_bytes(b"%d" % step * 999)
    with open(run / layout.HISTORY, "a") as file:
        file.write(f"{step}\n")


def _content(folder):
    paths = (p for p in folder.rglob("*") if p.is_file())
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in paths}


def test_what_is_fetched_is_the_run(run, store, tmp_path):
    mirror = Mirror(run, _ADDRESS)
    assert mirror.copy() is None, "there is no checkpoint"
    for step in (10, 20):
        _train_to(run, step)
    assert mirror.copy().step == 20
    before = store.num_changes
    assert mirror.copy() is None
    assert store.num_changes == before, "nothing has changed"
    found = fetch(_ADDRESS, tmp_path / "there")
    assert found.step == 20
    expected = {
        name: content
        for name, content in _content(run).items()
        if name != layout.LOCK and not name.startswith("checkpoints/000000000010")
    }
    assert _content(tmp_path / "there") == expected
    assert Store(tmp_path / "there" / layout.CHECKPOINTS).newest()[0].step == 20
    with pytest.raises(ks.RefusedError, match="new or empty folder"):
        fetch(_ADDRESS, tmp_path / "there")


def test_parts_of_a_checkpoint_are_copied(run, store, tmp_path):
    stores.save_in_parts(stores.of_three(run / layout.CHECKPOINTS), 10)
    copied = Mirror(run, _ADDRESS).copy()
    assert "checkpoints/000000000010/part-00002.npz" in copied.files
    fetch(_ADDRESS, tmp_path / "there")
    found = Store(tmp_path / "there" / layout.CHECKPOINTS).newest()[0]
    np.testing.assert_array_equal(
        found.arrays["by both"], stores.in_parts(10)[0]["by both"]
    )


def test_wherever_copying_ends_the_newest_whole_copy_is_fetched(run, store, tmp_path):
    _train_to(run, 10)
    Mirror(run, _ADDRESS).copy()
    first, seen, number = store.num_changes, set(), 0
    step = 10
    while True:
        number += 1
        step += 10
        _train_to(run, step)
        store.num_changes = 0

        def fail(count, last=number):
            if count > last:
                raise OSError("curlCode: 7, Could not connect")

        store.before_change = fail
        try:
            Mirror(run, _ADDRESS).copy()
        except ConnectionError:
            ended = False
        else:
            ended = store.num_changes <= number
        store.before_change = lambda count: None
        there = tmp_path / f"there-{number}"
        found = fetch(_ADDRESS, there)
        newest = Store(there / layout.CHECKPOINTS).newest()
        assert (newest[0].step, newest[1]) == (found.step, [])
        seen.add(found.step == step)
        if ended:
            break
    assert seen == {True, False}
    assert number > first / 2


def test_a_damaged_object_leaves_the_copy_before(run, store, tmp_path, capsys):
    mirror = Mirror(run, _ADDRESS)
    for step in (10, 20):
        _train_to(run, step)
        made = mirror.copy()
    _, sha256 = made.files["checkpoints/000000000020/state.npz"]
    path = tmp_path / "store" / "bucket" / "runs" / "a" / "objects" / sha256
    content = bytearray(path.read_bytes())
    content[1000] ^= 1
    path.write_bytes(content)
    assert fetch(_ADDRESS, tmp_path / "there").step == 10
    assert "the sha256 differs" in capsys.readouterr().err


def test_old_copies_go_with_what_they_alone_name(run, store, tmp_path):
    mirror = Mirror(run, _ADDRESS)
    for step in (10, 20, 30, 40):
        _train_to(run, step)
        mirror.copy()
    there = tmp_path / "store" / "bucket" / "runs" / "a"
    assert len(list((there / "generations").iterdir())) == 2
    # Of each: two files of the checkpoint, its manifest, best weights, history. Of
    # both: configuration, timeline.
    assert len(list((there / "objects").iterdir())) == 2 * 5 + 2


def test_an_address_is_for_one_run_and_the_one_that_went_furthest(run, store, tmp_path):
    _train_to(run, 10)
    here = Mirror(run, _ADDRESS)
    here.copy()
    time.sleep(0.002)
    other = _begun(tmp_path / "other")
    _train_to(other, 10)
    with pytest.raises(ks.RefusedError, match="expected an address for this run alone"):
        Mirror(other, _ADDRESS).copy()
    fetch(_ADDRESS, tmp_path / "there")
    timeline.note(tmp_path / "there", "resumed", step=10)
    _train_to(tmp_path / "there", 20)
    Mirror(tmp_path / "there", _ADDRESS).copy()
    _train_to(run, 30)
    with pytest.raises(ks.RefusedError, match="it went on elsewhere"):
        here.copy()
    assert fetch(_ADDRESS, tmp_path / "third").step == 20


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["s3", "gs"])
def test_a_killed_run_goes_on_elsewhere_with_its_bits(
    scheme, kerascale, tmp_path, monkeypatch
):
    train = ("train", "mlp", "--epochs", "30", "--seed", "3", "--execution", "fixed")
    assert kerascale(*train, "--run-dir", "undisturbed").returncode == 0
    with servers.serving() as (s3, gs):
        servers.environment(monkeypatch, s3, gs)
        if scheme == "s3":
            pyarrow.fs.S3FileSystem(
                endpoint_override=s3, region="us-east-1", allow_bucket_creation=True
            ).create_dir("bucket")
        address = f"{scheme}://bucket/runs/a"
        python = [sys.executable, "-m", "kerascale"]
        follow = [*python, "mirror", "run", address, "--follow", "True"]
        follow += ["--every-seconds", "0.2"]
        with (
            subprocess.Popen(follow, cwd=tmp_path) as mirror,
            subprocess.Popen([*python, *train, "--run-dir", "run"], cwd=tmp_path) as t,
        ):
            history = tmp_path / "run" / layout.HISTORY
            while not history.exists() or len(history.read_text().splitlines()) < 8:
                assert t.poll() is None
                time.sleep(0.05)
            time.sleep(1.0)
            t.kill()
            t.wait()
            mirror.send_signal(signal.SIGTERM)
            assert mirror.wait() == 75
        (tmp_path / "run").rename(tmp_path / "lost")
        fetched = kerascale("fetch", address, "run")
        assert fetched.returncode == 0, fetched.stderr
        assert "Go on with it" in fetched.stdout + fetched.stderr
        gone_on = kerascale(*train, "--run-dir", "run")
        assert gone_on.returncode == 0, gone_on.stderr
        assert "resuming at step" in gone_on.stderr
        finished = kerascale("mirror", "run", address)
        assert finished.returncode == 0, finished.stderr
        assert kerascale("fetch", address, "finished").returncode == 0
    last = pathlib.Path(layout.CHECKPOINTS) / layout.LAST_WEIGHTS
    expected = killing.weights(tmp_path / "undisturbed" / last)
    found = killing.weights(tmp_path / "finished" / last)
    assert all(np.array_equal(expected[name], found[name]) for name in expected)
    histories = {
        (tmp_path / name / layout.HISTORY).read_text()
        for name in ("undisturbed", "run", "finished")
    }
    assert len(histories) == 1
