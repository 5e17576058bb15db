"""Mapped files: nothing is copied into memory, nothing is written, little is kept."""

import pathlib
import time

import numpy as np
import pytest
import tensorflow as tf

from kerascale.datasets.packed import keeper, mapped
from kerascale.errors import RefusedError


def _status(field):
    for line in pathlib.Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) * 1024
    raise LookupError(field)


@pytest.fixture
def large(tmp_path):
    """A sparse file of 512 MiB."""
    path = tmp_path / "large.bin"
    with open(path, "wb") as file:
        file.truncate(2**29)
    return path


def test_a_tensor_is_the_file_itself(tmp_path):
    path = tmp_path / "rows.bin"
    rows = np.arange(6000, dtype=np.float32).reshape(1000, 6)
    rows.tofile(path)
    array = mapped.array(path, "float32", (1000, 6))
    tensor = mapped.tensor(array)
    again = np.from_dlpack(tensor)
    assert again.ctypes.data == array.ctypes.data
    with open(path, "r+b") as file:  # What changes in the file is seen.
        file.write(np.float32(7).tobytes())
    assert float(tensor[0, 0]) == 7
    gather = tf.function(lambda t, i: tf.gather(t, i) * 2, jit_compile=True)
    np.testing.assert_array_equal(gather(tensor, [3, 999]), rows[[3, 999]] * 2)
    assert path.read_bytes()[4:] == rows.tobytes()[4:]


def test_reading_takes_no_memory_of_the_process(large, monkeypatch):
    monkeypatch.setattr(keeper, "LIMIT_BYTES", 64 * 2**20)
    tensor = mapped.tensor(mapped.array(large, "uint8", (2**17, 4096)))
    before = _status("RssAnon"), _status("RssFile")
    most, anonymous = 0, 0
    for first in range(0, 2**17, 2**11):
        rows = tf.range(first, first + 2**11, dtype=tf.int64)
        assert int(tf.reduce_max(tf.gather(tensor, rows))) == 0
        most = max(most, _status("RssFile") - before[1])
        anonymous = max(anonymous, _status("RssAnon") - before[0])
        time.sleep(0.005)
    assert anonymous < 128 * 2**20
    assert most < 256 * 2**20


def test_a_row_that_was_taken_out_is_read_again(tmp_path):
    path = tmp_path / "rows.bin"
    np.arange(2**16, dtype=np.int64).tofile(path)
    array = mapped.array(path, "int64", (2**16,))
    expected = array.copy()
    keeper.drop([m for m in keeper._maps if len(m) == 2**19])
    np.testing.assert_array_equal(array, expected)


def test_what_lies_elsewhere_is_copied_where_tensorflow_takes_it():
    memory = np.zeros(1000, np.uint8)
    for begin in range(0, 64, 8):
        odd = memory[begin : begin + 800].view(np.int64)
        assert mapped.tensor(odd).shape == (100,)


def test_a_file_of_another_size_is_refused(tmp_path):
    path = tmp_path / "rows.bin"
    path.write_bytes(b"\0" * 100)
    with pytest.raises(RefusedError, match=r"with 96 bytes, .* Received: 100 bytes"):
        mapped.array(path, "float32", (6, 4))
    with pytest.raises(RefusedError, match=r"readable file .* No such file"):
        mapped.array(tmp_path / "none", "float32", (6, 4))
