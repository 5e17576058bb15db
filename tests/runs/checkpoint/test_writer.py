"""Saving beside the training: nothing is dropped, nothing fails in silence."""

import gc
import threading
import time
import weakref

import numpy as np
import pytest
from helpers import stores

from kerascale.errors import RefusedError, SaveFailedError
from kerascale.runs.checkpoint import Store, Writer


class _Gated:
    """A store whose saves end when they are told to."""

    def __init__(self):
        self.begun = []
        self.ended = []
        self.gate = threading.Semaphore(0)
        self.fail = {}

    def save(self, step, arrays, metadata):
        self.begun.append(step)
        assert self.gate.acquire(timeout=20)
        if step in self.fail:
            raise self.fail[step]
        self.ended.append(step)


def _until(condition):
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.002)


@pytest.fixture
def store():
    return _Gated()


def test_what_is_handed_over_is_on_the_disk_after_wait():
    with stores.two_steps() as store:
        writer = Writer(store)
        waited = [
            writer.submit(step, stores.arrays(step), {"step": step})
            for step in (30, 40, 50, 60)
        ]
        writer.wait()
        assert store.steps() == [40, 50, 60]
        stores.assert_whole(store.newest()[0], 60)
        assert waited[:2] == [0, 0]
        writer.wait()


def test_one_is_saved_one_waits_and_the_third_is_held_up(store):
    writer = Writer(store)
    assert writer.submit(1, {}, {}) == 0
    assert writer.submit(2, {}, {}) == 0
    waited, held_up, wait = [], threading.Event(), writer._changed.wait
    writer._changed.wait = lambda: (held_up.set(), wait())
    third = threading.Thread(target=lambda: waited.append(writer.submit(3, {}, {})))
    third.start()
    assert held_up.wait(20)
    time.sleep(0.05)
    assert store.begun == [1]
    assert not waited
    store.gate.release()
    third.join(20)
    assert waited[0] >= 0.05
    store.gate.release(2)
    writer.wait()
    assert store.ended == [1, 2, 3]


def test_room_is_made_by_the_end_of_the_one_that_is_saved(store):
    writer, back = Writer(store), []
    assert writer.make_room() == 0
    writer.submit(1, {}, {}, back.append)
    assert writer.make_room() == 0
    writer.submit(2, {}, {})
    third = threading.Thread(target=lambda: back.append(writer.make_room()))
    third.start()
    time.sleep(0.05)
    assert not back
    store.gate.release()
    third.join(20)
    # What was saved is given back before there is room.
    assert back[0] == {}
    assert back[1] >= 0.05
    store.gate.release()
    writer.wait()


def test_nothing_runs_while_there_is_nothing_to_save(store):
    def running():
        return [t for t in threading.enumerate() if t.name == "checkpoint-writer"]

    writer = Writer(store)
    store.gate.release(2)
    for step in (1, 2):
        writer.submit(step, {}, {})
        writer.wait()
        _until(lambda: not running())
    assert store.ended == [1, 2]


def test_arrays_are_let_go(store):
    writer = Writer(store)
    arrays = [np.zeros(3) for _ in range(2)]
    alive = [weakref.ref(array) for array in arrays]
    for step in range(2):
        writer.submit(step, {"a": arrays.pop(0)}, {})
    store.gate.release()
    _until(lambda: store.begun == [0, 1])
    # The first is saved, and the second is being saved.
    gc.collect()
    assert alive[0]() is None
    assert alive[1]() is not None
    store.gate.release()
    writer.wait()


def test_arrays_of_a_failed_save_are_let_go(store):
    store.fail = {1: SaveFailedError(1, 28, "full")}
    store.gate.release()
    writer = Writer(store)
    array = np.zeros(3)
    alive = weakref.ref(array)
    writer.submit(1, {"a": array}, {})
    del array
    _until(lambda: not writer._is_running)
    gc.collect()
    assert alive() is None
    with pytest.raises(SaveFailedError, match="full"):
        writer.wait()


def test_arrays_that_are_saved_are_given_back(store):
    store.fail = {2: SaveFailedError(2, 28, "full")}
    store.gate.release(2)
    writer, back = Writer(store, on_error=lambda error: None), []
    saved = {"a": np.zeros(3)}
    writer.submit(1, saved, {}, back.append)
    writer.submit(2, {"a": np.zeros(3)}, {}, back.append)
    writer.wait()
    assert len(back) == 1
    assert back[0] is saved


def test_a_failure_is_raised_by_wait_once(store):
    store.fail = {2: SaveFailedError(2, 28, "full"), 3: ValueError("odd")}
    store.gate.release(3)
    writer = Writer(store)
    writer.submit(1, {}, {})
    writer.submit(2, {}, {})
    with pytest.raises(SaveFailedError, match=r"SAVE FAILED.*step 2.*full") as caught:
        writer.wait()
    assert caught.value.errno == 28
    writer.submit(3, {}, {})
    with pytest.raises(ValueError, match="odd"):
        writer.wait()
    writer.wait()


def test_several_failures_are_all_told(store):
    store.fail = {1: ValueError("first"), 2: ValueError("second")}
    writer = Writer(store)
    writer.submit(1, {}, {})
    writer.submit(2, {}, {})
    store.gate.release(2)
    with pytest.raises(ValueError, match="first") as caught:
        writer.wait()
    assert caught.value.__notes__ == ["Then: second"]


def test_a_failure_is_raised_by_the_next_submit(store):
    store.fail = {1: SaveFailedError(1, 28, "full")}
    store.gate.release(2)
    writer = Writer(store)
    writer.submit(1, {}, {})
    _until(lambda: not writer._is_running)
    with pytest.raises(SaveFailedError, match="full"):
        writer.submit(2, {}, {})
    # That was refused; who goes on nevertheless may.
    writer.submit(3, {}, {})
    writer.wait()
    assert store.ended == [3]


def test_a_failure_while_a_third_waits(store):
    store.fail = {1: SaveFailedError(1, 28, "full")}
    writer = Writer(store)
    writer.submit(1, {}, {})
    writer.submit(2, {}, {})
    threading.Timer(0.05, store.gate.release, (2,)).start()
    with pytest.raises(SaveFailedError, match="full"):
        writer.submit(3, {}, {})
    writer.wait()
    assert store.ended == [2]


def test_whoever_wants_to_go_on_is_told_and_goes_on(store):
    store.fail = {1: SaveFailedError(1, 28, "full")}
    store.gate.release(2)
    told = []
    writer = Writer(store, on_error=told.append)
    writer.submit(1, {}, {})
    writer.submit(2, {}, {})
    writer.wait()
    assert [str(error) for error in told] == [str(store.fail[1])]
    assert store.ended == [2]


def test_what_on_error_raises_is_not_lost(store):
    def stop(error):
        raise RuntimeError(f"stopped by {error}")

    store.fail = {1: ValueError("odd")}
    store.gate.release()
    writer = Writer(store, on_error=stop)
    writer.submit(1, {}, {})
    with pytest.raises(RuntimeError, match="stopped by odd"):
        writer.wait()


def test_what_cannot_be_written_is_told(tmp_path):
    writer = Writer(Store(tmp_path))
    writer.submit(1, {"a": [1]}, {})
    with pytest.raises(RefusedError, match="expected NumPy arrays by name"):
        writer.wait()


def test_intervals_are_not_of_the_time_of_day(store, monkeypatch):
    def broken():
        raise AssertionError("the time of day is looked at")

    monkeypatch.setattr(time, "time", broken)
    writer = Writer(store)
    threading.Timer(0.02, store.gate.release, (3,)).start()
    for step in (1, 2, 3):
        writer.submit(step, {}, {})
    writer.wait()


_SAVE_AND_END = """
import sys
import numpy as np
from kerascale.runs.checkpoint import Store, Writer
writer = Writer(Store(sys.argv[1]))
for step in (10, 20):
    writer.submit(step, {"a": np.full(1000, step)}, {"step": step})
"""


@pytest.mark.parametrize(
    ("end", "status"),
    [("", 0), ("sys.exit(75)", 75), ("raise ValueError('the end')", 1)],
)
def test_a_process_that_ends_finishes_its_saves(tmp_path, end, status):
    finished = stores.run(
        _SAVE_AND_END + end, tmp_path, fault="save:before-rename:sleep=0.2"
    )
    assert finished.returncode == status, finished.stderr
    assert Store(tmp_path).steps() == [10, 20]
    assert Store(tmp_path).newest()[1] == []
    assert not stores.hidden(tmp_path)


def test_a_failure_that_nobody_asked_for_is_printed_at_the_end(tmp_path):
    finished = stores.run(
        _SAVE_AND_END, tmp_path, fault="save:before-rename:error=28:step=20"
    )
    assert "SaveFailedError: SAVE FAILED: expected to write" in finished.stderr
    assert "step 20. Received: errno 28" in finished.stderr
    assert Store(tmp_path).steps() == [10]


def test_it_leaves_the_processors_to_the_training(tmp_path):
    """It takes its time, until somebody waits for it."""
    arrays = {"a": np.zeros(16 * 2**20, np.float64)}
    Store(tmp_path / "alone").save(1, arrays, {})
    began, used = time.monotonic(), time.process_time()
    writer = Writer(Store(tmp_path / "beside"))
    writer.submit(1, arrays, {})
    time.sleep(0.5)
    share = (time.process_time() - used) / (time.monotonic() - began)
    assert share < 0.3
    assert not Store(tmp_path / "beside").steps()
    writer.wait()
    assert Store(tmp_path / "beside").newest()[0].step == 1
