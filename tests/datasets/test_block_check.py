"""A bit that changes in a file of flat rows ends the training, with its rows."""

import re

import numpy as np
import pytest

from kerascale.datasets import host_rows
from kerascale.datasets.packed import block_check, packing
from kerascale.datasets.packed.opened import open_packed
from kerascale.datasets.packed.sources.in_memory import InMemory
from kerascale.datasets.sources import arrays


@pytest.fixture
def packed(tmp_path):
    """5,000 rows of 800 bytes: four blocks, the last of them shorter."""
    generator = np.random.default_rng(1)
    features = generator.normal(size=(5000, 200)).astype(np.float32)
    raw = arrays.from_numpy(features, np.arange(5000) % 3)
    packing.pack(InMemory(raw), tmp_path / "rows")
    return tmp_path / "rows"


def _flip(path, place):
    with open(path, "r+b") as file:
        file.seek(place)
        found = file.read(1)[0]
        file.seek(place)
        file.write(bytes([found ^ 1]))


def _checked(packed):
    check = block_check.BlockCheck(open_packed(str(packed)))
    check.start()
    check._thread.join(20)
    assert check.is_finished
    return check


def test_files_as_they_were_packed_are_read_once(packed, capsys):
    _checked(packed).raise_fault()
    (packed / "labels.bin.crc32c").unlink()
    _checked(packed).raise_fault()
    assert "labels.bin is not checked: no checksums in" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("file", "place", "text"),
    [
        ("features.bin", 2**20, "rows 1,310 to 2,621: bytes changed .* .block 1 of"),
        (
            "features.bin",
            3_999_999,
            r"rows 3,932 to 4,999: bytes changed .* .block 3 of",
        ),
        ("labels.bin", 7, "rows 0 to 4,999: bytes changed .* .block 0 of"),
        ("test.index", 0, "bytes changed .*, in blocks 0 to 0 .block 0 of"),
    ],
)
def test_a_bit_that_changed_is_named(packed, file, place, text):
    _flip(packed / file, place)
    check = _checked(packed)
    with pytest.raises(host_rows.RowError, match=f"{re.escape(file)}[:,] {text}"):
        check.raise_fault()


def test_it_goes_on_where_it_was_stopped(packed, monkeypatch):
    monkeypatch.setattr(block_check, "SHARE", 1e-9)  # One block, then it waits.
    check = block_check.BlockCheck(open_packed(str(packed)))
    for _ in range(3):
        check.start()
        check.stop()
    assert not check.is_finished
    monkeypatch.setattr(block_check, "SHARE", 0.5)
    check.start()
    check._thread.join(20)
    assert check.is_finished


def test_a_training_ends_with_it(packed, kerascale):
    _flip(packed / "features.bin", 100)
    command = (
        f"train mlp --dataset packed:{packed} --units 4 --epochs 500 --run-dir run"
    )
    ended = kerascale(*command.split(), "--execution", "fixed")
    text = " ".join(ended.stderr.split())
    assert ended.returncode == 1, ended.stderr
    assert "features.bin, rows 0 to 1,310: bytes changed" in text
    assert f"kerascale pack --check {packed}" in text
