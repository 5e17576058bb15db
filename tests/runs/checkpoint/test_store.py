"""Checkpoints: what goes in comes out, old ones go, and no clock is asked (row 17)."""

import concurrent.futures
import os
import tempfile
import threading
import time

import ml_dtypes
import numpy as np
import pytest
from helpers import stores
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from kerascale.errors import RefusedError, SaveFailedError
from kerascale.runs.checkpoint import Store, injected_faults
from kerascale.runs.checkpoint.names import Names

_EXTENSIONS = ("bfloat16", "float8_e4m3fn", "float8_e5m2", "int4", "uint2")


@pytest.fixture
def store():
    """A store with the steps 10 and 20."""
    with stores.two_steps() as store:
        yield store


def _extension_arrays(name):
    dtype = np.dtype(getattr(ml_dtypes, name))
    # Small whole numbers: all of these types have them.
    numbers = hnp.arrays(np.int64, hnp.array_shapes(min_dims=0, min_side=0))
    return numbers.map(lambda array: np.asarray(array % 2, dtype))


_ANY_ARRAY = st.one_of(
    hnp.arrays(
        st.one_of(
            hnp.boolean_dtypes(),
            hnp.integer_dtypes(endianness="?"),
            hnp.unsigned_integer_dtypes(endianness="?"),
            hnp.floating_dtypes(endianness="?"),
            hnp.complex_number_dtypes(),
            hnp.datetime64_dtypes(),
            hnp.unicode_string_dtypes(min_len=1),
            hnp.byte_string_dtypes(min_len=1),
        ),
        hnp.array_shapes(min_dims=0, min_side=0, max_side=4),
    ),
    st.sampled_from(_EXTENSIONS).flatmap(_extension_arrays),
    hnp.arrays(np.float32, (3, 4)).map(lambda array: array.T[::2]),
)
# Lone surrogates, NUL, slashes and dots included.
_ANY_TEXT = st.text(st.characters(codec=None, exclude_categories=()), max_size=8)
_ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | _ANY_TEXT,
    lambda inner: st.lists(inner) | st.dictionaries(_ANY_TEXT, inner),
    max_leaves=8,
)


@settings(max_examples=40, deadline=None)
@given(
    st.dictionaries(_ANY_TEXT | st.just("../x") | st.just("/abs"), _ANY_ARRAY),
    st.dictionaries(_ANY_TEXT, _ANY_JSON),
    st.integers(0, 10**12 - 1),
)
def test_round_trip(arrays, metadata, step):
    with tempfile.TemporaryDirectory(dir=stores.FAST) as folder:
        store = Store(folder)
        store.save(step, arrays, metadata)
        read, skipped = store.newest()
    assert not skipped
    assert (read.step, read.metadata) == (step, metadata)
    assert list(read.arrays) == list(arrays)
    for name, array in arrays.items():
        assert (read.arrays[name].dtype, read.arrays[name].shape) == (
            array.dtype,
            array.shape,
        )
        # Bit by bit: NaN too, and minus zero.
        assert read.arrays[name].tobytes() == array.tobytes()
        assert read.arrays[name].flags.writeable


def test_arrays_can_be_read_with_numpy_alone(store):
    with np.load(store.folder / "000000000020" / "state.npz") as arrays:
        np.testing.assert_array_equal(arrays["000001"], stores.arrays(20)["layer/1"])


def test_a_scalar_comes_back_as_an_array(store):
    store.save(30, {"a": np.float32(2), "b": ml_dtypes.bfloat16(3)}, {})
    read = store.read(30).arrays
    assert (read["a"].dtype, read["a"].shape, float(read["a"])) == ("float32", (), 2)
    assert (read["b"].dtype, read["b"].shape, float(read["b"])) == ("bfloat16", (), 3)


def test_nan_and_infinity_come_back(store):
    store.save(30, {}, {"best": float("inf"), "loss": float("nan")})
    metadata = store.read(30).metadata
    assert metadata["best"] == float("inf")
    assert metadata["loss"] != metadata["loss"]


class _Odd:
    def __repr__(self):
        return "odd"


@pytest.mark.parametrize(
    ("step", "arrays", "metadata", "message"),
    [
        (-1, {}, {}, r"step: expected an integer from 0 .*Received: -1"),
        (10**12, {}, {}, "step: expected an integer"),
        (True, {}, {}, r"step: expected an integer.*Received: True"),
        (30, {"a": [1.0]}, {}, r"NumPy arrays by name. Received: 'a' of type list"),
        (30, {1: np.zeros(1)}, {}, "NumPy arrays by name. Received: 1"),
        (30, {"a": np.array([None])}, {}, r"in 'a'. Received: dtype=object"),
        (30, {"a": np.zeros(1, "f4,f4")}, {}, r"in 'a'. Received: dtype="),
        (30, {}, {"a": {"b": (1,)}}, r"metadata\['a'\]\['b'\]: .*of type tuple"),
        (30, {}, {"a": [np.float32(1)]}, r"metadata\['a'\]\[0\]: .*type float32"),
        (30, {}, {"a": {1: 2}}, r"metadata\['a'\]: expected text as keys"),
        (30, {}, {"a": _Odd()}, "Received: odd of type _Odd"),
    ],
)
def test_what_would_not_come_back_is_refused(store, step, arrays, metadata, message):
    with pytest.raises(RefusedError, match=message):
        store.save(step, arrays, metadata)
    assert store.steps() == [10, 20]
    assert not stores.hidden(store.folder)


@pytest.mark.parametrize("options", [{"keep": 0}, {"keep": 1.5}, {"keep_every": 0}])
def test_how_many_to_keep_is_checked(tmp_path, options):
    with pytest.raises(RefusedError, match=r"keep\w*: expected an integer >= 1"):
        Store(tmp_path, **options)


def test_metadata_that_holds_itself_is_refused(store):
    metadata = {}
    metadata["again"] = metadata
    with pytest.raises(RefusedError, match="one that holds itself"):
        store.save(30, {}, metadata)


def test_the_same_again_stays(store):
    inode = (store.folder / "000000000020").stat().st_ino
    stores.save(store, 20)
    assert (store.folder / "000000000020").stat().st_ino == inode
    assert not stores.hidden(store.folder)


def test_something_else_replaces(store):
    store.save(20, {"a": np.ones(3)}, {"step": 20})
    assert list(store.read(20).arrays) == ["a"]
    assert not stores.hidden(store.folder)


@pytest.mark.parametrize("name", stores.FILES)
def test_a_damaged_one_is_replaced(store, name):
    os.truncate(stores.file(store, 20, name), 3)
    stores.save(store, 20)
    stores.assert_whole(store.newest()[0], 20)
    assert not stores.hidden(store.folder)


def test_a_link_is_replaced_not_followed(store):
    folder = store.folder / "000000000020"
    os.rename(folder, folder.with_name("elsewhere"))
    folder.symlink_to("elsewhere")
    stores.save(store, 20)
    stores.assert_whole(store.newest()[0], 20)
    assert not (store.folder / "000000000020").is_symlink()
    assert (store.folder / "elsewhere" / "manifest.json").is_file()


def test_pruning(tmp_path):
    store = Store(tmp_path, keep=2, keep_every=4)
    for step in range(1, 11):
        stores.save(store, step)
    assert store.steps() == [4, 8, 9, 10]
    assert not stores.hidden(tmp_path)
    for step in store.steps():
        stores.assert_whole(store.read(step), step)


def test_pruning_spares_what_was_just_saved(tmp_path):
    store = Store(tmp_path, keep=1)
    stores.save(store, 30)
    os.truncate(stores.file(store, 30, "state.npz"), 9)
    # The run has gone back to 10, and comes by 30 again.
    stores.save(store, 20)
    assert store.steps() == [20, 30]
    newest, skipped = store.newest()
    stores.assert_whole(newest, 20)
    assert [each.step for each in skipped] == [30]
    stores.save(store, 30)
    assert store.steps() == [30]
    stores.assert_whole(store.newest()[0], 30)


def test_nothing_is_pruned_by_a_save_that_fails(store, monkeypatch):
    store.keep = 1
    monkeypatch.setattr(
        injected_faults, "_fault", injected_faults.parse("save:before-rename:error=5")
    )
    with pytest.raises(SaveFailedError, match="errno 5"):
        stores.save(store, 30)
    assert store.steps() == [10, 20]


def test_what_cannot_be_pruned_is_tried_again(store, monkeypatch):
    def remove(self, step, hidden=None):
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr(Names, "remove", remove)
    store.keep = 1
    stores.save(store, 30)
    assert store.steps() == [10, 20, 30]
    monkeypatch.undo()
    stores.save(store, 40)
    assert store.steps() == [40]


def test_only_our_own_leftovers_are_removed(store):
    ours = [
        ".writing-000000000030-123-0123abcd",
        ".removing-000000000005-9-0123abcd",
        ".replaced-000000000010",
    ]
    others = [".writing-mine", ".removing-000000000005", ".snapshot", "writing"]
    for name in ours + others:
        (store.folder / name).mkdir()
    stores.save(store, 30)
    assert sorted(stores.hidden(store.folder)) == sorted(set(others) - {"writing"})
    assert (store.folder / "writing").is_dir()


def test_steps_after_one_are_removed(store):
    stores.save(store, 30)
    assert store.remove_after(10) == [20, 30]
    assert store.steps() == [10]
    assert store.remove_after(10) == []
    assert not stores.hidden(store.folder)


def test_order_is_by_step_whatever_the_clock_says(store, monkeypatch):
    def broken(*arguments):
        raise AssertionError("the time of day is looked at")

    monkeypatch.setattr(time, "time", broken)
    monkeypatch.setattr(time, "time_ns", broken)
    monkeypatch.setattr(time, "localtime", broken)
    stores.save(store, 15)
    monkeypatch.undo()
    # 10 is the latest by its times, 20 an hour older.
    for step, times in ((10, (2e9, 2e9)), (20, (1e9, 1e9))):
        folder = store.folder / f"{step:012d}"
        for path in (*folder.iterdir(), folder):
            os.utime(path, times)
    assert store.steps() == [10, 15, 20]
    stores.assert_whole(store.newest()[0], 20)


def test_saved_from_two_threads(tmp_path):
    store = Store(tmp_path, keep=100)

    def save(steps):
        for step in steps:
            stores.save(store, step)

    threads = [
        threading.Thread(target=save, args=(range(start, 10, 2),)) for start in (0, 1)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert store.steps() == list(range(10))
    for step in range(10):
        stores.assert_whole(store.read(step), step)


def test_readers_while_it_is_written(tmp_path):
    # They may be slow, and what they have begun to read may go.
    store, reader = Store(tmp_path, keep=1), Store(tmp_path)
    stores.save(store, 1)
    stop, problems, seen = threading.Event(), [], set()

    def read():
        while not stop.is_set() or not seen:
            newest, skipped = reader.newest()
            problems.extend(map(str, skipped))
            stores.assert_whole(newest, newest.step)
            seen.add(newest.step)

    with concurrent.futures.ThreadPoolExecutor() as pool:
        reading = pool.submit(read)
        for step in range(2, 30):
            stores.save(store, step)
        stop.set()
        reading.result(timeout=60)
    assert not problems
