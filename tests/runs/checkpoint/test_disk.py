"""A disk that is full (row 7), and one that cannot be written (row 8)."""

import errno
import os
import subprocess

import numpy as np
import pytest
from helpers import stores

from kerascale.errors import RefusedError, SaveFailedError
from kerascale.runs.checkpoint import Store, Writer

_MEGABYTE = 2**20


def _remount(folder, how):
    subprocess.run(["mount", "-o", f"remount,{how}", str(folder)], check=True)


def _fill(folder, leave):
    """Takes all room but so many bytes."""
    left = os.statvfs(folder)
    with open(folder / "filler", "xb") as file:
        os.posix_fallocate(file.fileno(), 0, left.f_bavail * left.f_frsize - leave)


def _save(store, step):
    store.save(step, {"a": np.full(_MEGABYTE // 8, step)}, {"step": step})


def _found(store):
    newest, skipped = store.newest()
    assert not skipped
    assert newest.metadata == {"step": newest.step}
    assert set(newest.arrays["a"]) == {newest.step}
    return newest.step


@pytest.mark.parametrize(
    "leave",
    # In the making of the folder, in the arrays at several places, and beyond them.
    [0, 4096, 5 * 4096, _MEGABYTE // 2, _MEGABYTE, _MEGABYTE + 4096],
)
def test_full_disk(disk, leave):
    store = Store(disk / "checkpoints", keep=2)
    _save(store, 10)
    _save(store, 20)
    before = sorted(os.listdir(store.folder))
    _fill(disk, leave)
    for _ in range(2):
        with pytest.raises(SaveFailedError, match=r"^SAVE FAILED: .*step 30") as caught:
            _save(store, 30)
        assert (caught.value.errno, caught.value.step) == (errno.ENOSPC, 30)
        assert f"No space left on device in {store.folder}" in str(caught.value)
        assert sorted(os.listdir(store.folder)) == before
        assert _found(store) == 20
    (disk / "filler").unlink()
    _save(store, 30)
    assert _found(store) == 30
    assert store.steps() == [20, 30]


def test_full_disk_when_the_training_goes_on(disk):
    store = Store(disk / "checkpoints")
    told = []
    writer = Writer(store, on_error=told.append)
    for step in (10, 20, 30, 40):
        if step == 20:
            writer.wait()
            _fill(disk, _MEGABYTE // 2)
        if step == 40:
            writer.wait()
            (disk / "filler").unlink()
        writer.submit(step, {"a": np.full(_MEGABYTE // 8, step)}, {"step": step})
    writer.wait()
    assert [(error.step, error.errno) for error in told] == [(20, 28), (30, 28)]
    assert store.steps() == [10, 40]
    assert _found(store) == 40


def test_full_disk_when_the_training_stops(disk):
    store = Store(disk / "checkpoints")
    writer = Writer(store)
    _fill(disk, 4096)
    writer.submit(10, {"a": np.full(_MEGABYTE // 8, 10)}, {"step": 10})
    with pytest.raises(SaveFailedError, match="No space left on device"):
        writer.wait()
    assert store.newest() == (None, [])


def test_full_disk_in_a_process_that_is_killed_then(disk):
    """Its leftovers do not take the room of the next save."""
    store = Store(disk / "checkpoints", keep=1)
    _save(store, 10)
    code = """
import sys
import numpy as np
from kerascale.runs.checkpoint import Store
Store(sys.argv[1]).save(20, {"a": np.zeros(2**19)}, {})
"""
    finished = stores.run(code, store.folder, fault="save:before-fsync:kill")
    assert finished.returncode == -9, finished.stderr
    left = os.statvfs(disk)
    assert left.f_bavail * left.f_frsize < 3.5 * _MEGABYTE
    big = {"a": np.zeros(4 * _MEGABYTE // 8)}
    store.save(30, big, {"step": 30})
    assert store.newest()[0].step == 30


def test_read_only_disk(disk):
    store = Store(disk / "checkpoints")
    _save(store, 10)
    _remount(disk, "ro")
    for checked in (store, Store(disk / "new")):
        with pytest.raises(RefusedError, match=r"can be written. .*Read-only file sys"):
            checked.check_writable()
    with pytest.raises(SaveFailedError, match="Read-only file system") as caught:
        _save(store, 20)
    assert caught.value.errno == errno.EROFS
    # What is there can be read still.
    assert _found(store) == 10
    _remount(disk, "rw")
    store.check_writable()
    _save(store, 20)
    assert _found(store) == 20


def test_a_check_leaves_nothing_behind(tmp_path):
    store = Store(tmp_path / "run" / "checkpoints")
    store.check_writable()
    assert store.folder.is_dir()
    assert os.listdir(store.folder) == []


def test_a_file_where_the_folder_should_be(tmp_path):
    (tmp_path / "checkpoints").write_text("")
    store = Store(tmp_path / "checkpoints")
    with pytest.raises(RefusedError, match=r"can be written. Received: .*File exists"):
        store.check_writable()
    with pytest.raises(SaveFailedError, match="File exists"):
        _save(store, 10)
