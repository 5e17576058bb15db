"""Rows of files larger than memory are asked for before the steps that read them."""

import dataclasses
import os
import time

import numpy as np
import pytest
import tensorflow as tf

import kerascale as ks
from kerascale.datasets import pages
from kerascale.datasets.packed import mapped, packing
from kerascale.datasets.packed.sources.in_memory import InMemory
from kerascale.datasets.sources import arrays
from kerascale.engine.execution import pages_ahead
from kerascale.engine.execution.pages_ahead import PagesAhead
from kerascale.engine.execution.rows_ahead import Part

_ROW = 3000
_ROWS = 4000


@pytest.fixture
def rows(tmp_path, monkeypatch):
    """A mapped file of more than the memory that is free, not in the cache."""
    path = tmp_path / "rows.bin"
    generator = np.random.default_rng(0)
    with open(path, "wb") as file:
        file.write(generator.bytes(_ROW * _ROWS))
        file.flush()
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    monkeypatch.setattr(mapped, "available_bytes", lambda: 1)
    found = mapped.array(path, "uint8", (_ROWS, _ROW))
    assert mapped.is_read_singly(found)
    if pages.of_rows([found], np.arange(_ROWS)).are_cached():
        pytest.skip("files of this disk stay in the cache")
    return found


def _arrive(array, numbers):
    """Waits until the system has read some rows."""
    own = pages.of_rows([array[numbers[0] : numbers[-1] + 1]], np.arange(1))
    end = time.monotonic() + 10
    while not own.are_cached():
        assert time.monotonic() < end, numbers
        time.sleep(0.01)


def test_rows_arrive_before_anybody_reads_them(rows):
    index = np.arange(_ROWS)[::-1].copy()
    found = pages.of_rows([rows], index)
    # Examples 5, 6 and 20 are rows 3994, 3993 and 3979.
    assert found.will_need(np.array([20, 5, 6]), 0) == 2
    _arrive(rows, [3993, 3994])
    _arrive(rows, [3979])
    assert not pages.of_rows([rows[:2000]], np.arange(1)).are_cached()
    assert found.will_need(np.arange(100), 0) == 1
    _arrive(rows, [3900, 3999])


def test_windows_arrive(rows):
    tokens = rows.reshape(-1)
    starts = lambda indices, epoch: indices * 1000 + epoch  # noqa: E731
    found = pages.of_windows(tokens, 1001, starts)
    assert found.will_need(np.array([700, 20]), 3) == 2
    _arrive(tokens, [20_003, 21_003])
    _arrive(tokens, [700_003, 701_003])


class _Pages:
    """Notes which examples it is told of."""

    def __init__(self, are_cached=False):
        self._are_cached = are_cached
        self.looks = 0
        self.told = []

    def are_cached(self):
        self.looks += 1
        return self._are_cached

    def will_need(self, indices, epoch):
        self.told.append((epoch, indices.tolist()))


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    generator = np.random.default_rng(1)
    features = generator.normal(size=(300, 6)).astype(np.float32)
    dest = tmp_path_factory.mktemp("packed") / "rows"
    packing.pack(InMemory(arrays.from_numpy(features, np.arange(300) % 3)), dest)
    return dest


def _batches(packed, monkeypatch, found):
    recipe = ks.load_recipe("mlp")
    config = recipe.Config(dataset=f"packed:{packed}", batch_size=10)
    assert recipe.make_datasets(config).train.pages is None  # It fits in memory.
    monkeypatch.setattr(mapped, "available_bytes", lambda: 1)
    batches = recipe.make_datasets(config).train
    assert batches.pages is not None
    return dataclasses.replace(batches, pages=found)


def _begun(ahead, batches, first):
    epoch = tf.constant(2, tf.int64)
    ahead.begin(Part(batches, epoch, first, 4))
    for future in ahead._begun:
        future.result()


def test_the_next_steps_are_asked_for(packed, monkeypatch):
    found, ahead = _Pages(), PagesAhead()
    batches = _batches(packed, monkeypatch, found)
    for first in (0, 4, 12, 20):
        _begun(ahead, batches, first)
    # 21 whole batches. Nobody told of those at 12; behind those at 20 there are none.
    expected = [(0, 8), (8, 12), (12, 20), (20, 21)]
    assert len(found.told) == len(expected)
    for (epoch, told), (first, behind) in zip(found.told, expected, strict=True):
        steps = [batches.indices(2, tf.constant(i, tf.int64)) for i in range(21)]
        assert epoch == 2
        assert told == np.concatenate(steps[first:behind]).tolist()
    assert not batches.repeated(2, 3)[0].pages


def test_files_in_the_cache_are_left_alone(packed, monkeypatch):
    faults = [100]
    monkeypatch.setattr(pages_ahead, "major_faults", lambda: faults[0])
    found, ahead = _Pages(are_cached=True), PagesAhead()
    batches = _batches(packed, monkeypatch, found)
    for first in (0, 4, 8):
        _begun(ahead, batches, first)
    assert (found.looks, found.told) == (1, [])
    # What the system says of another user's file may be wrong.
    faults[0] += 500
    ahead._quiet_until = 0.0
    _begun(ahead, batches, 12)
    assert len(found.told) == 1
