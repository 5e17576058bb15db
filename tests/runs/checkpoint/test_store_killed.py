"""Checkpoints of a process that is killed, or refused, at any moment (row 1)."""

import contextlib
import json
import os
import signal
import tempfile

import pytest
from helpers import stores

from kerascale.errors import RefusedError, SaveFailedError
from kerascale.runs.checkpoint import Store, injected_faults


@pytest.fixture
def store():
    """A store with the steps 10 and 20."""
    with stores.two_steps() as store:
        yield store


_SAVE_AT = """
import sys
import numpy as np
from kerascale.runs.checkpoint import Store
def arrays(step):
    return {f"layer/{index}": np.full(100, step + index / 8) for index in range(4)}
store = Store(sys.argv[1], keep=1)
store.save(10, arrays(10), {"step": 10})
if sys.argv[2] == "replace":
    store.save(20, {}, {"step": "other"})
store.save(20, arrays(20), {"step": 20})
"""


@pytest.mark.parametrize("point", injected_faults.POINTS)
def test_killed_at_a_point_of_a_save(tmp_path, point):
    is_replaced = point == "save:between-renames"
    finished = stores.run(
        _SAVE_AT,
        tmp_path,
        "replace" if is_replaced else "",
        fault=f"{point}:kill:step=20",
    )
    assert finished.returncode == -signal.SIGKILL, finished.stderr
    store = Store(tmp_path, keep=1)
    newest, skipped = store.newest()
    assert not skipped
    if is_replaced:
        assert (newest.step, newest.metadata) == (20, {"step": "other"})
    elif injected_faults.POINTS.index(point) < injected_faults.POINTS.index(
        "save:after-rename"
    ):
        stores.assert_whole(newest, 10)
    else:
        stores.assert_whole(newest, 20)
    # The next save removes what the killed one left behind.
    stores.save(store, 30)
    assert store.steps() == [30]
    assert os.listdir(tmp_path) == ["000000000030"]


# Forks one child after the other, and kills each, without loading NumPy every time.
_KILL_OFTEN = """
import json, os, random, signal, sys, time
import numpy as np
from kerascale.runs.checkpoint import Store

folder, seed, kills = sys.argv[1], *map(int, sys.argv[2:])
chance = random.Random(seed)

def arrays(step):
    return {str(index): np.full(30_000, step) for index in range(8)}

# How long a save takes depends on the disk, and on what else the machine does.
began = time.monotonic()
for step in range(1, 6):
    Store(folder, keep=2).save(step, arrays(step), {"step": step})
one_save = (time.monotonic() - began) / 5

def save_for_ever(pipe):
    store = Store(folder, keep=2)
    newest, _ = store.newest()
    step = newest.step if newest else 0
    while True:
        step += 1
        os.write(pipe, b"b%d\\n" % step)
        store.save(step, arrays(step), {"step": step})
        os.write(pipe, b"e%d\\n" % step)

results = []
for _ in range(kills):
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            save_for_ever(writing)
        finally:
            os._exit(1)
    os.close(writing)
    # The first save has begun.
    lines = os.read(reading, 65536)
    time.sleep(chance.uniform(0, 4 * one_save))
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    lines = (lines + b"".join(iter(lambda: os.read(reading, 65536), b""))).split()
    os.close(reading)
    newest, skipped = Store(folder).newest()
    results.append({
        "signal": os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0,
        "begun": [int(line[1:]) for line in lines if line[:1] == b"b"],
        "ended": [int(line[1:]) for line in lines if line[:1] == b"e"],
        "skipped": [str(each) for each in skipped],
        "found": newest and sorted({
            newest.step, newest.metadata["step"],
            *(float(v) for a in newest.arrays.values() for v in np.unique(a)),
        }),
    })
print(json.dumps(results))
"""


@pytest.mark.parametrize(("place", "kills"), [("memory", 40), ("disk", 12)])
def test_killed_at_random_moments(tmp_path, place, kills):
    with contextlib.ExitStack() as stack:
        folder = tmp_path
        if place == "memory":
            folder = stack.enter_context(tempfile.TemporaryDirectory(dir=stores.FAST))
        finished = stores.run(_KILL_OFTEN, folder, 4, kills)
    assert finished.returncode == 0, finished.stderr
    committed, inside = 5, 0
    for number, result in enumerate(json.loads(finished.stdout)):
        assert result["signal"] == signal.SIGKILL, number
        assert not result["skipped"], number
        unfinished = set(result["begun"]) - set(result["ended"])
        inside += len(unfinished)
        committed = max([committed, *result["ended"]])
        # One step alone, the last that was acknowledged or the one being saved.
        assert len(result["found"]) == 1, number
        assert result["found"][0] in {committed, *unfinished}, number
        committed = result["found"][0]
    assert committed > kills / 4
    assert inside > kills / 4


def _points(first, last):
    start, end = map(injected_faults.POINTS.index, (first, last))
    return injected_faults.POINTS[start : end + 1]


@pytest.mark.parametrize("point", _points("save:start", "save:between-renames"))
def test_an_error_before_a_checkpoint_is_visible(store, point, monkeypatch):
    if point == "save:between-renames":
        store.save(30, {}, {"step": "other"})
    before = store.newest()[0]
    monkeypatch.setattr(
        injected_faults, "_fault", injected_faults.parse(f"{point}:error=28")
    )
    with pytest.raises(SaveFailedError, match=r"^SAVE FAILED: .*step 30") as caught:
        stores.save(store, 30)
    assert (caught.value.errno, caught.value.step) == (28, 30)
    monkeypatch.undo()
    newest, skipped = store.newest()
    assert (newest.step, newest.metadata) == (before.step, before.metadata)
    assert not skipped
    assert not stores.hidden(store.folder)
    stores.save(store, 30)
    stores.assert_whole(store.newest()[0], 30)


def test_an_error_when_it_is_visible_already(store, monkeypatch):
    monkeypatch.setattr(
        injected_faults, "_fault", injected_faults.parse("save:after-rename:error=5")
    )
    with pytest.raises(SaveFailedError, match=r"SAVE FAILED: .*errno 5"):
        stores.save(store, 30)
    stores.assert_whole(store.newest()[0], 30)


def test_an_error_while_an_old_one_is_removed(store, monkeypatch):
    store.keep = 2
    monkeypatch.setattr(
        injected_faults, "_fault", injected_faults.parse("save:during-prune:error=5")
    )
    stores.save(store, 30)
    monkeypatch.undo()
    stores.assert_whole(store.newest()[0], 30)
    assert store.steps() == [20, 30]
    assert len(stores.hidden(store.folder)) == 1
    stores.save(store, 40)
    assert not stores.hidden(store.folder)


@pytest.mark.parametrize(
    "text",
    [
        "kill",
        "save:nowhere:kill",
        "save:end:explode",
        "save:end:sleep=1.2.3",
        "save:end:kill:step=x",
        "other:end:kill",
    ],
)
def test_an_unknown_fault_is_refused(text):
    with pytest.raises(RefusedError, match=r"KERASCALE_FAULT: expected POINT:ACTION"):
        injected_faults.parse(text)


def test_an_unknown_fault_is_refused_on_import():
    finished = stores.run("import kerascale.runs.checkpoint", fault="save:nowhere:kill")
    assert finished.returncode == 1
    assert "RefusedError: KERASCALE_FAULT: expected POINT" in finished.stderr


def test_faults_are_off_unless_asked_for():
    assert injected_faults.parse("") is None
    assert injected_faults.parse("save:end:sleep=0.5:step=7") == injected_faults.Fault(
        "save:end", "sleep", 0.5, 7
    )
