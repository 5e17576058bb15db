"""Checkpoints of somebody who knows the sums: nothing is run, no memory is given."""

import json
import pathlib
import tempfile
import zipfile

import pytest
from helpers import stores

from kerascale.runs.checkpoint import manifest


@pytest.fixture
def store():
    """A store with the steps 10 and 20."""
    with stores.two_steps() as store:
        yield store


def _forge(store, members, table, compression=zipfile.ZIP_STORED):
    """A checkpoint of somebody who knows the sums."""
    folder = store.folder / "000000000030"
    folder.mkdir()
    with zipfile.ZipFile(folder / "state.npz", "w", compression) as archive:
        for name, data in members:
            archive.writestr(name, data)
    state = {"arrays": table, "metadata": {}}
    (folder / "state.json").write_text(json.dumps(state))
    records = {}
    for name in ("state.npz", "state.json"):
        with tempfile.TemporaryDirectory() as other:
            with manifest.durable_files.writing(pathlib.Path(other) / name) as file:
                file.write((folder / name).read_bytes())
            records[name] = manifest.Record.of(file)
    (folder / "manifest.json").write_bytes(manifest.encode(30, records))


def _npy(dtype, shape, data=b""):
    header = repr({"descr": dtype, "fortran_order": False, "shape": shape}).encode()
    header += b" " * (117 - len(header)) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + data


@pytest.mark.parametrize(
    ("members", "table", "reason"),
    [
        # A header that claims 8 TB.
        (
            [("000000.npy", _npy("<f8", (10**12,)))],
            [{"name": "a", "dtype": "<f8", "shape": [10**12]}],
            "array 'a' is not of its size",
        ),
        # A pickle.
        (
            [("000000.npy", _npy("|O", (1,), b"cos\nsystem\n(S'id'\ntR."))],
            [{"name": "a", "dtype": "|O", "shape": [1]}],
            "the type '|O' is not one of ours",
        ),
        (
            [("000000.npy", _npy("|O", (1,), b"cos\nsystem\n(S'id'\ntR."))],
            [{"name": "a", "dtype": "<f8", "shape": [1]}],
            "expected float64 of shape [1]. Received: object",
        ),
        (
            [("000000.npy", _npy("<f8", (2,), bytes(16)))],
            [{"name": "a", "dtype": "<f8", "shape": [1]}],
            "expected float64 of shape [1]. Received: float64 of shape [2]",
        ),
        ([("../x.npy", b"")], [], "not those of the table"),
        (
            [("../x.npy", b"")],
            [{"name": "a", "dtype": "<f8", "shape": []}],
            "not those of the table",
        ),
        (
            [("000000.npy", _npy("<f8", (), bytes(8)))] * 2,
            [{"name": "a", "dtype": "<f8", "shape": []}] * 2,
            "not those of the table",
        ),
        ([], [{"name": "a"}], "state.json: expected an array. Received: {'name': 'a'}"),
        ([], {}, "state.json has no arrays"),
        (
            [("000000.npy", b"x" * 99)],
            [{"name": "a", "dtype": "<f8", "shape": []}],
            "cannot be parsed",
        ),
        (
            [("000000.npy", b"x" * 99)],
            [{"name": "a", "dtype": "float8_system", "shape": []}],
            "cannot be parsed",
        ),
    ],
)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_forged(store, members, table, reason):
    _forge(store, members, table)
    newest, skipped = store.newest()
    stores.assert_whole(newest, 20)
    assert reason in skipped[0].reason


def test_forged_bomb(store):
    data = _npy("<f8", (2**20,), bytes(2**23))
    table = [{"name": "a", "dtype": "<f8", "shape": [2**20]}]
    _forge(store, [("000000.npy", data)], table, zipfile.ZIP_DEFLATED)
    assert "not of its size" in store.newest()[1][0].reason
