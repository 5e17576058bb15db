"""Packing into a folder: what is refused, what goes on, what nobody may disturb."""

import os
import re
import resource
import subprocess

import filelock
import numpy as np
import pytest
from helpers.packed import assert_same, pack, read, records, sums

from kerascale.datasets import reading
from kerascale.datasets.packed import layout, manifest, packing, progress, shards
from kerascale.datasets.packed.sources.in_memory import InMemory
from kerascale.datasets.packed.watching import Shown
from kerascale.datasets.raw import RawData, Split
from kerascale.errors import PackFailedError, RefusedError, StoppedError
from kerascale.runtime import interrupts


def vectors(rows=400, kind="vector"):
    generator = np.random.default_rng(rows)
    features = generator.normal(size=(rows, 6)).astype(np.float32)
    features[:, 2] = 3.0
    if kind == "text":
        features = np.array(
            [f"text {i} ü\n{'x' * (i % 50)}" for i in range(rows)], object
        )
    return RawData("made", kind, ("a", "b"), Split(features, np.arange(rows) % 2))


@pytest.fixture
def npz(tmp_path):
    """The name of a small data set, which `write` writes again with another seed."""
    path = tmp_path / "some.npz"

    def write(seed=0):
        generator = np.random.default_rng(seed)
        x = generator.normal(size=(200, 5)).astype(np.float32)
        np.savez(path, x=x, y=np.arange(200) % 3)
        return f"npz:{path}"

    return write


@pytest.mark.parametrize("kind", ["vector", "text"])
def test_data_in_memory_is_packed_as_it_is_trained_on(tmp_path, kind, capsys):
    raw = vectors(kind=kind)
    packing.pack(InMemory(raw), tmp_path / "made")
    assert_same(tmp_path / "made", raw)
    left = {path.name.removesuffix(".crc32c") for path in (tmp_path / "made").iterdir()}
    rows = layout.FEATURES if kind == "vector" else layout.SHARD.format(0)
    indices = {layout.INDEX.format(split=split) for split in layout.SPLITS}
    assert left == {rows, layout.LABELS, layout.MANIFEST, *indices}
    said = "constant in the training examples: feature 2\n"
    assert capsys.readouterr().err == (said if kind == "vector" else "")


def test_other_splits_than_usual(tmp_path):
    raw = vectors()
    packing.pack(InMemory(raw), tmp_path / "made", validation_fraction=0.3)
    assert_same(tmp_path / "made", raw, fraction=0.3)
    assert manifest.load(tmp_path / "made").held_out_fraction == 0.3


def test_what_is_packed_is_not_packed_twice(tmp_path, npz):
    folder = tmp_path / "made"
    first = pack(npz(), folder)
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert pack(npz(), folder, again=True).fingerprint == first.fingerprint
    after = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert before.keys() == after.keys()
    assert before != after


def test_the_same_source_under_another_name_is_the_same(tmp_path, npz, monkeypatch):
    folder = tmp_path / "made"
    first = pack(npz(), folder)
    monkeypatch.chdir(tmp_path)
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert pack("npz:some.npz", "made") == first
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == before


@pytest.mark.parametrize("is_finished", [True, False])
def test_another_source_or_way_is_refused(tmp_path, npz, is_finished, monkeypatch):
    folder, name = tmp_path / "made", npz()
    if not is_finished:
        stop_after(monkeypatch, 0)
        with pytest.raises(StoppedError):
            pack(name, folder)
        monkeypatch.undo()
    else:
        pack(name, folder)
    state = "packed already" if is_finished else "packed in part"
    with pytest.raises(
        RefusedError, match=rf"made, into which npz:.*{state}\. .*--again"
    ):
        packing.pack(InMemory(vectors()), folder)
    with pytest.raises(RefusedError, match=f"{state} with validation_fraction=0.15"):
        pack(name, folder, fraction=0.2)
    with pytest.raises(RefusedError, match=f"{state} with num_classes=None"):
        pack(name, folder, num_classes=4)
    npz(seed=1)
    with pytest.raises(RefusedError, match=f"{state}; npz:.* has changed since then"):
        pack(name, folder)
    pack(name, folder, again=True)
    assert_same(folder, reading.read(name))


def test_a_source_that_changes_meanwhile_is_not_finished(tmp_path, npz, monkeypatch):
    folder, name = tmp_path / "made", npz()
    close = packing.Writer.close

    def change(writer):
        close(writer)
        npz(seed=2)

    monkeypatch.setattr(packing.Writer, "close", change)
    with pytest.raises(
        PackFailedError, match=r"changed while it was packed into .*made"
    ):
        pack(name, folder)
    with pytest.raises(RefusedError, match="whose packing was not finished"):
        manifest.load(folder)


def test_a_folder_with_something_else_is_left_alone(tmp_path, npz):
    (tmp_path / "made").mkdir()
    (tmp_path / "made" / "thesis.tex").write_text("x")
    with pytest.raises(
        RefusedError, match=r"Received: .*made, which holds thesis\.tex"
    ):
        pack(npz(), tmp_path / "made")
    with pytest.raises(RefusedError, match=r"which holds thesis\.tex"):
        pack(npz(), tmp_path / "made", again=True)
    assert [path.name for path in (tmp_path / "made").iterdir()] == ["thesis.tex"]
    (tmp_path / "file").write_text("x")
    with pytest.raises(RefusedError, match=r"file \(EEXIST: File exists\)"):
        pack(npz(), tmp_path / "file")


def test_two_packers_of_one_folder_are_kept_apart(tmp_path, npz):
    (tmp_path / "made").mkdir()
    with filelock.FileLock(tmp_path / "made" / layout.LOCK):
        with pytest.raises(
            RefusedError,
            match=rf"Received: .*made, held by another, process {os.getpid()} \(",
        ):
            pack(npz(), tmp_path / "made")
    pack(npz(), tmp_path / "made")
    # What a killed packer leaves does not block.
    (tmp_path / "made" / layout.LOCK).touch()
    pack(npz(), tmp_path / "made", again=True)


@pytest.mark.parametrize("kind", ["vector", "text"])
def test_a_full_disk_is_named_and_the_same_call_goes_on(tmp_path, kind):
    raw, folder = vectors(20_000, kind), tmp_path / "made"
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(
            PackFailedError,
            match=r"room on the disk of .*made\. Received: EFBIG.*goes on",
        ):
            packing.pack(InMemory(raw), folder)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    packing.pack(InMemory(raw), folder)
    assert_same(folder, raw)


@pytest.mark.parametrize("kind", ["vector", "text"])
def test_packing_goes_on_when_there_is_room_again(disk, kind):
    raw = vectors(60_000, kind)
    (disk / "filler").write_bytes(bytes(7 * 2**20))
    with pytest.raises(PackFailedError, match=r"made\. Received: ENOSPC: No space"):
        packing.pack(InMemory(raw), disk / "made")
    (disk / "filler").unlink()
    packing.pack(InMemory(raw), disk / "made")
    assert_same(disk / "made", raw)


def test_a_disk_that_cannot_be_written_is_refused(disk, npz):
    (disk / "made").mkdir()
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    for name in ("made", "other"):
        message = rf"written\. Received: .*{name} \(EROFS: Read-only file system\)"
        with pytest.raises(RefusedError, match=message):
            pack(npz(), disk / name)


def test_how_it_goes_is_told(tmp_path, monkeypatch, capsys):
    raw = vectors(3000)
    monkeypatch.setattr("kerascale.datasets.packed.sources.in_memory._MOST_ROWS", 1000)
    monkeypatch.setattr("kerascale.datasets.packed.watching._LINE_SECONDS", 0.0)
    with monkeypatch.context() as patch:
        stop_after(patch, 0)
        with pytest.raises(StoppedError):
            packing.pack(InMemory(raw), tmp_path / "made", watcher=Shown())
    packing.pack(InMemory(raw), tmp_path / "made", watcher=Shown())
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "going on behind 1,000 rows"
    pattern = r"3,000 of 3,000 rows, 100 %, [\d.,]+ MB/s, 0\.0 s left"
    assert re.fullmatch(pattern, lines[1])
    assert lines[2:4] == ["mean and variance, 50 %", "mean and variance, 100 %"]


def stop_after(monkeypatch, batches):
    """As if a signal came behind so many batches of rows."""
    seen = []

    def requested():
        seen.append(None)
        return len(seen) > batches

    monkeypatch.setattr(interrupts, "requested", requested)


@pytest.mark.parametrize("kind", ["vector", "text"])
def test_packing_goes_on_where_it_was_stopped(tmp_path, monkeypatch, kind):
    raw = vectors(3000, kind)
    monkeypatch.setattr("kerascale.datasets.packed.sources.in_memory._MOST_ROWS", 100)
    monkeypatch.setattr(shards, "SHARD_BYTES", 30_000)
    packing.pack(InMemory(raw), tmp_path / "whole")
    if kind == "text":
        assert len(manifest.load(tmp_path / "whole").shards) == 4
    for batches in (0, 3, 0, 11):
        with monkeypatch.context() as patch:
            stop_after(patch, batches)
            with pytest.raises(StoppedError, match="the same command goes on"):
                packing.pack(InMemory(raw), tmp_path / "parts")
    packing.pack(InMemory(raw), tmp_path / "parts")
    assert sums(tmp_path / "parts") == sums(tmp_path / "whole")
    assert manifest.load(tmp_path / "parts") == manifest.load(tmp_path / "whole")
    assert_same(tmp_path / "parts", raw)


def test_packing_again_goes_on_where_it_was_stopped(tmp_path, monkeypatch):
    raw, folder = vectors(3000), tmp_path / "made"
    monkeypatch.setattr("kerascale.datasets.packed.sources.in_memory._MOST_ROWS", 100)
    packing.pack(InMemory(raw), folder)
    for rows in (600, 1200):
        with monkeypatch.context() as patch:
            stop_after(patch, 5)
            with pytest.raises(StoppedError):
                packing.pack(InMemory(raw), folder, again=True)
        assert progress.load(folder).rows == rows
    packing.pack(InMemory(raw), folder)
    assert_same(folder, raw)


def test_moments_go_on_where_they_were(tmp_path, monkeypatch):
    raw = vectors(5000)
    monkeypatch.setattr("kerascale.datasets.memory._PART_BYTES", 10_000)
    packing.pack(InMemory(raw), tmp_path / "whole")
    monkeypatch.setattr("kerascale.datasets.packed.finishing.SYNC_SECONDS", 0.0)

    class Killed(BaseException):
        pass

    class Watcher:
        calls = 0

        def begin(self, source, progress):
            pass

        rows = begin

        def finishing(self, what, share):
            Watcher.calls += 1
            if Watcher.calls in (3, 14):
                raise Killed

    for _ in range(2):
        with pytest.raises(Killed):
            packing.pack(InMemory(raw), tmp_path / "parts", watcher=Watcher())
    calls = Watcher.calls
    packing.pack(InMemory(raw), tmp_path / "parts", watcher=Watcher())
    assert Watcher.calls - calls < 10
    assert manifest.load(tmp_path / "parts") == manifest.load(tmp_path / "whole")


@pytest.mark.parametrize("content", ["", "{", "[]", '{"format": "kerascale-packed"}'])
def test_a_progress_that_cannot_be_read_is_refused(tmp_path, npz, content):
    (tmp_path / "made").mkdir()
    (tmp_path / "made" / layout.PROGRESS).write_text(content)
    with pytest.raises(RefusedError, match=r"progress\.json of version 1.*--again"):
        pack(npz(), tmp_path / "made")
    pack(npz(), tmp_path / "made", again=True)


def test_files_shorter_than_the_progress_says_are_refused(tmp_path, monkeypatch):
    raw = vectors(3000)
    monkeypatch.setattr("kerascale.datasets.packed.sources.in_memory._MOST_ROWS", 100)
    with monkeypatch.context() as patch:
        stop_after(patch, 5)
        with pytest.raises(StoppedError):
            packing.pack(InMemory(raw), tmp_path / "made")
    os.truncate(tmp_path / "made" / layout.FEATURES, 100)
    message = re.escape(
        f"{layout.FEATURES}: expected the 14,400 bytes that were packed"
    )
    with pytest.raises(PackFailedError, match=message):
        packing.pack(InMemory(raw), tmp_path / "made")


def test_rows_that_differ_in_their_form_are_a_fault_of_the_source(tmp_path):
    raw = vectors()
    other = Split(raw.train.features[:, :3], raw.train.labels)
    wrong = RawData("made", "vector", ("a", "b"), raw.train, other)
    with pytest.raises(
        ValueError, match=r"shape \[6\] and float32.*Received: shape \[3\]"
    ):
        packing.pack(InMemory(wrong), tmp_path / "made")


def test_one_class_is_refused(tmp_path):
    raw = vectors()
    one = RawData("made", "vector", ("a", "b"), raw.train.take(np.arange(0, 400, 2)))
    with pytest.raises(
        RefusedError, match="made: expected training examples of at least 2"
    ):
        packing.pack(InMemory(one), tmp_path / "made")


def test_texts_come_back_as_they_were(tmp_path):
    raw = vectors(kind="text")
    packing.pack(InMemory(raw), tmp_path / "made")
    assert [
        r.decode() for r in records(tmp_path / "made")
    ] == raw.train.features.tolist()
    assert read(tmp_path / "made")["train"].features[0].startswith("text ")
