"""Checkpoints of several processes, each of which writes its part."""

import errno
import itertools
import json
import os
import signal

import numpy as np
import pytest
from helpers import stores

from kerascale.runs.checkpoint import Store, injected_faults, look, parts

_PART = "part-00001.npz"


@pytest.fixture
def three(tmp_path):
    return stores.of_three(tmp_path / "checkpoints")


def _assert_whole(checkpoint, step):
    whole, _ = stores.in_parts(step)
    assert checkpoint.step == checkpoint.metadata["step"] == step
    assert set(checkpoint.arrays) == set(whole)
    for name, array in whole.items():
        found = checkpoint.arrays[name]
        found = found if isinstance(found, np.ndarray) else found[()]
        assert found.dtype == array.dtype
        np.testing.assert_array_equal(found, array)


def test_parts_are_read_as_one_checkpoint(three):
    for step in (10, 20):
        assert stores.save_in_parts(three, step) == [None] * 3
    store = Store(three[0].folder)
    _assert_whole(store.newest()[0], 20)
    _assert_whole(store.read(10), 10)
    _assert_whole(store.newest(mapped=True)[0], 20)
    folder = store.folder / "000000000020"
    assert sorted(os.listdir(folder)) == [
        "manifest.json",
        *(f"part-{i:05d}.{kind}" for i in range(3) for kind in ("json", "npz")),
        "state.json",
        "state.npz",
    ]
    assert json.loads((folder / "manifest.json").read_text())["version"] == 2
    # Each element is there once: twice 24 of 4 bytes, and 24 of 2.
    sizes = [array.nbytes for i in range(3) for array in _arrays(folder, i)]
    assert sum(sizes) == 24 * 4 + 24 * 2 + 24 * 4


def _arrays(folder, index):
    with np.load(folder / f"part-{index:05d}.npz") as file:
        return [file[name] for name in file]


def test_any_block_is_read_by_its_own_bytes(three):
    stores.save_in_parts(three, 10)
    whole, _ = stores.in_parts(10)
    found = look(three[0].folder / "000000000010", 10).arrays
    rows = [slice(a, b) for a, b in itertools.combinations(range(7), 2)]
    columns = [slice(None), slice(1, 3), slice(3, 4), slice(0, 0)]
    for name, index in itertools.product(stores.CUT, itertools.product(rows, columns)):
        np.testing.assert_array_equal(found[name][index], whole[name][index])
    np.testing.assert_array_equal(
        found["by rows"][(slice(1, 3),)], whole["by rows"][1:3]
    )


def _removed(path):
    path.unlink()


def _altered(path):
    content = path.read_bytes()
    place = content.index(np.full(1, 20 + 8, "<f4").tobytes())
    path.write_bytes(content[:place] + b"\1" + content[place + 1 :])


def _cut_off(path):
    os.truncate(path, path.stat().st_size - 9)


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (_removed, f"{_PART} is missing: by rows from (2, 0) to (4, 4)"),
        (_altered, f"{_PART}: bytes changed (the sha256 differs): by rows from (2, 0)"),
        (_cut_off, f"{_PART} is truncated"),
    ],
)
def test_a_damaged_part_is_named_and_the_checkpoint_before_is_taken(
    three, damage, reason
):
    for step in (10, 20):
        stores.save_in_parts(three, step)
    damage(three[0].folder / "000000000020" / _PART)
    found, (skipped,) = Store(three[0].folder).newest()
    _assert_whole(found, 10)
    assert reason in str(skipped)


def test_a_table_that_was_removed(three):
    stores.save_in_parts(three, 10)
    (three[0].folder / "000000000010" / "part-00002.json").unlink()
    found, (skipped,) = Store(three[0].folder).newest()
    assert found is None
    assert "part-00002.json is missing" in str(skipped)


def test_whoever_fails_nobody_has_saved(three, monkeypatch):
    stores.save_in_parts(three, 10)
    plain = parts.write

    def full(folder, index, step, arrays):
        if index == 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return plain(folder, index, step, arrays)

    monkeypatch.setattr(parts, "write", full)
    for error in stores.save_in_parts(three, 20):
        assert error.step == 20
        assert "process 2: No space left on device" in str(error)
    monkeypatch.undo()
    assert os.listdir(three[0].folder) == ["000000000010"]
    assert stores.save_in_parts(three, 30) == [None] * 3
    _assert_whole(Store(three[0].folder).newest()[0], 30)


def test_a_folder_that_is_not_shared(three, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    three[1] = type(three[1])(elsewhere, three[1].peers)
    for error in stores.save_in_parts(three, 10):
        assert "All processes must share the run folder" in str(error)
    assert not os.listdir(elsewhere)
    assert not os.listdir(three[0].folder)


@pytest.mark.parametrize(
    ("index", "name"), [(0, "by rows"), (1, "by rows"), (2, "by both")]
)
def test_parts_that_make_up_nothing_are_not_committed(three, index, name):
    _, own = stores.in_parts(10)
    del own[index][name]
    for error in stores.save_in_parts(three, 10, own):
        assert f"the parts do not make up {name}" in str(error)
    assert Store(three[0].folder).newest() == (None, [])


def test_old_checkpoints_go_with_their_parts(tmp_path):
    three = stores.of_three(tmp_path, keep=1)
    for step in (10, 20, 30):
        assert stores.save_in_parts(three, step) == [None] * 3
    assert os.listdir(tmp_path) == ["000000000030"]


_SAVE_AT = """
import sys
sys.path.insert(0, sys.argv[2])
from helpers import stores
three = stores.of_three(sys.argv[1], keep=1)
stores.save_in_parts(three, 10)
stores.save_in_parts(three, 20)
"""
_POINTS = ("save:before-manifest", "save:before-rename", "save:after-rename")


@pytest.mark.parametrize("point", [*injected_faults.PART_POINTS, *_POINTS])
def test_killed_at_a_point_of_a_save(tmp_path, point):
    tests = os.path.dirname(os.path.dirname(stores.__file__))
    folder = tmp_path / "checkpoints"
    done = stores.run(_SAVE_AT, folder, tests, fault=f"{point}:kill:step=20")
    assert done.returncode == -signal.SIGKILL, done.stderr
    found, skipped = Store(folder).newest()
    assert not skipped
    _assert_whole(found, 20 if point == "save:after-rename" else 10)
    stores.save_in_parts(stores.of_three(folder, keep=1), 30)
    assert os.listdir(folder) == ["000000000030"]
