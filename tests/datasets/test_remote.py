"""Data at s3:// and gs:// is copied once, whole, and read as that of this host is."""

import os
import pathlib
import shutil

import numpy as np
import pyarrow.fs
import pytest
from helpers import object_stores as servers

import kerascale as ks
from kerascale.datasets import read, remote
from kerascale.runtime import object_stores

_ROWS = "".join(f"{i / 7:.4f},{'odd' if i % 2 else 'even'}\n" for i in range(120))
_TABLE = f"x,y\n{_ROWS}"


@pytest.fixture
def bucket(tmp_path, monkeypatch):
    """A store that is a folder: what is in `bucket` is at `s3://bucket`."""
    monkeypatch.setenv("KERASCALE_CACHE_DIR", str(tmp_path / "cache"))
    root = tmp_path / "store"
    (root / "bucket").mkdir(parents=True)
    store = servers.FolderStore(root)
    monkeypatch.setattr(object_stores, "_s3", lambda bucket, anonymous: store)
    return root / "bucket", store


def _write(path, text=_TABLE):
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)


def test_the_data_is_that_of_the_files(bucket, capsys):
    folder, store = bucket
    for number in (1, 2, 10):
        _write(folder / "parts" / f"p-{number}.csv")
    _write(folder / "parts" / "deeper" / "p.csv")
    for name in ("csv:s3://bucket/parts", "csv:s3://bucket/parts/p-*.csv"):
        found = read(name, label="y")
        here = read(name.replace("s3://bucket", str(folder)), label="y")
        assert found.name == name
        assert np.array_equal(found.train.features, here.train.features)
    assert "copying 3 objects" in capsys.readouterr().err
    before = len(store.opened)
    read("csv:s3://bucket/parts", label="y")
    assert len(store.opened) == before, "it was copied again"


def test_what_has_changed_is_copied_again_and_said(bucket, capsys):
    folder, _ = bucket
    _write(folder / "t.csv")
    old = remote.local_name("csv:s3://bucket/t.csv")
    _write(folder / "t.csv", _TABLE.replace("odd", "add"))
    new = remote.local_name("csv:s3://bucket/t.csv")
    assert "has changed since it was copied" in capsys.readouterr().err
    assert "add" in pathlib.Path(new.removeprefix("csv:")).read_text()
    assert "odd" in pathlib.Path(old.removeprefix("csv:")).read_text()


def test_what_is_written_while_it_is_read_is_refused(bucket):
    folder, store = bucket
    _write(folder / "t.csv")

    def change(path):
        os.utime(folder / "t.csv", ns=(1, 1))

    store.before_read = change
    with pytest.raises(ks.RefusedError, match="written while it was read"):
        remote.local_name("csv:s3://bucket/t.csv")


def test_a_store_that_stops_answering_is_asked_again_and_gone_on_with(
    bucket, monkeypatch
):
    folder, store = bucket
    monkeypatch.setattr(object_stores, "_WAIT_SECONDS", 0.0)
    monkeypatch.setattr(remote, "_AT_ONCE", 1)
    for number in range(3):
        _write(folder / "parts" / f"p-{number}.csv")

    def fail(path):
        if path.endswith("p-2.csv"):
            raise OSError("curlCode: 28, Timeout was reached")

    store.before_read = fail
    with pytest.raises(ConnectionError, match="Timeout was reached"):
        remote.local_name("csv:s3://bucket/parts")
    assert store.opened.count("bucket/parts/p-2.csv") == 3
    store.before_read = lambda path: None
    store.opened.clear()
    remote.local_name("csv:s3://bucket/parts")
    assert set(store.opened) == {"bucket/parts/p-2.csv"}


def test_a_copy_that_has_lost_a_file_is_mended(bucket):
    folder, _ = bucket
    for number in range(3):
        _write(folder / "parts" / f"p-{number}.csv")
    here = pathlib.Path(remote.local_name("csv:s3://bucket/parts")[4:])
    (here / "p-1.csv").unlink()
    assert remote.local_name("csv:s3://bucket/parts")[4:] == str(here)
    assert (here / "p-1.csv").read_text() == _TABLE


def test_refusals(bucket, monkeypatch):
    folder, _ = bucket
    _write(folder / "t.csv")
    with pytest.raises(ks.RefusedError, match="where there is none"):
        read("csv:s3://bucket/none/*.csv", label="y")
    full = shutil.disk_usage(folder)._replace(free=10)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: full)
    with pytest.raises(ks.RefusedError, match=r"expected 0 MB of room.*Make room"):
        read("csv:s3://bucket/t.csv", label="y")


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["s3", "gs"])
def test_a_real_server_of_the_protocol(scheme, tmp_path, monkeypatch):
    with servers.serving() as (s3, gs):
        servers.environment(monkeypatch, s3, gs)
        monkeypatch.setenv("KERASCALE_CACHE_DIR", str(tmp_path / "cache"))
        if scheme == "s3":
            files = pyarrow.fs.S3FileSystem(
                endpoint_override=s3, region="us-east-1", allow_bucket_creation=True
            )
            files.create_dir("bucket")
        else:
            files = pyarrow.fs.GcsFileSystem(
                endpoint_override=gs.partition("//")[2], scheme="http", anonymous=True
            )
        noise = os.urandom(20_000_000)  # More than a piece of a copy.
        for name, content in {
            "parts/p 1#.csv": _TABLE.encode(),
            "parts/p-2.csv": _TABLE.encode(),
            "pictures/train/a/1.bin": noise,
        }.items():
            with files.open_output_stream(f"bucket/{name}") as file:
                file.write(content)
        found = read(f"csv:{scheme}://bucket/parts", label="y")
        assert len(found.train) == 240
        copied = remote.local_path(f"{scheme}://bucket/pictures", nested=True)
        assert pathlib.Path(copied, "train/a/1.bin").read_bytes() == noise
        with pytest.raises(ks.RefusedError, match=r"Received: \w+://nowhere/x"):
            read(f"csv:{scheme}://nowhere/x", label="y")
