"""A file is on the disk before it is closed, and is compared byte by byte."""

import hashlib
import os
import stat

import pytest

from kerascale.runtime import durable_files


@pytest.fixture
def synced(monkeypatch):
    """The kinds of what was brought onto the disk: files, and folders."""
    seen = []
    sync = os.fsync

    def noted(descriptor):
        is_folder = stat.S_ISDIR(os.fstat(descriptor).st_mode)
        seen.append("folder" if is_folder else os.fstat(descriptor).st_size)
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", noted)
    return seen


def test_all_of_a_file_is_on_the_disk_when_it_is_closed(tmp_path, synced):
    with durable_files.writing(tmp_path / "file") as file:
        file.write(b"12345")
        assert synced == []
    assert synced == [5]
    durable_files.sync_folder(tmp_path)
    assert synced == [5, "folder"]


def test_a_changed_byte_is_seen(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"what was written")
    sha256 = hashlib.sha256(b"what was written").hexdigest()

    def check():
        with durable_files.reading(path) as file:
            durable_files.check_bytes(file, "file", 16, sha256)
            return file.read()

    assert check() == b"what was written"
    path.write_bytes(b"what was wriTten")
    with pytest.raises(durable_files.DamagedError, match="bytes changed"):
        check()
    path.write_bytes(b"what was")
    with pytest.raises(durable_files.DamagedError, match="truncated: 8 of 16"):
        check()
