"""Rows that are encoded pictures: read and decoded in threads, ahead of the steps."""

import functools
import pathlib

import numpy as np
import tensorflow as tf

from kerascale.datasets.host_rows import HostRows, RowError, StageClock
from kerascale.datasets.packed import layout, windows
from kerascale.datasets.packed.opened import Packed
from kerascale.datasets.packed.records import Records
from kerascale.datasets.sources import image_files
from kerascale.errors import RefusedError, first_line

# Windows that a call reads. TensorFlow's threads decode them: more of Python's threads
# would wait for its interpreter.
_CROPPED = 64


class Pictures:
    """The pictures of a packed data set, of one size.

    Args:
        packed: With `encoding` "image".
        image_size: Height and width that they are resized to; None: they have one
            size.

    Raises:
        RefusedError: If they differ in their size, and none is told.
    """

    def __init__(self, packed: Packed, image_size: int | None) -> None:
        self._packed = packed
        height, width, channels = packed.manifest.image_shape
        self._size = None if image_size is None else (image_size, image_size)
        if self._size is None and None in (height, width):
            raise RefusedError(
                f"image_size: expected a number of pixels, because the pictures of "
                f"{packed.name} differ in their size. Received: none. Pass "
                "--image-size N, to which all are resized."
            )
        self.shape = (*(self._size or (height, width)), channels)
        self.clock = StageClock()
        self._records = Records(packed.folder, packed.manifest.shards)

    def whole(self) -> HostRows:
        """Reads whole pictures, resized as those in memory are, to the last bit."""
        return HostRows(self._read, [self._spec], self.clock)

    def cropped(self, scale: float) -> HostRows:
        """Reads random windows of pictures, by what `resized_crop.draws` gives.

        Args:
            scale: The smallest share of a picture's area.
        """
        read = functools.partial(self._read_cropped, scale)
        return HostRows(read, [self._spec], self.clock, piece=_CROPPED)

    @property
    def _spec(self) -> tf.TensorSpec:
        return tf.TensorSpec(self.shape, tf.uint8)

    def _read(self, rows: np.ndarray) -> list[np.ndarray]:
        pairs = self._records_of(rows)
        with self.clock.stage("decode"):
            return [np.stack([self._decoded(record, row) for record, row in pairs])]

    def _read_cropped(
        self, scale: float, rows: np.ndarray, draws: np.ndarray
    ) -> list[np.ndarray]:
        pairs = self._records_of(rows)
        with self.clock.stage("decode"):
            try:
                records = [record for record, _ in pairs]
                return [windows.decoded(records, draws, scale, self.shape)]
            except Exception:  # Of the decoder's, of many kinds.
                for (record, row), drawn in zip(pairs, draws, strict=True):
                    self._say_what_is_wrong(record, row, drawn[None], scale)
                raise

    def _records_of(self, rows: np.ndarray) -> list[tuple[bytes, int]]:
        with self.clock.stage("read"):
            records = self._records.read(rows)
        return list(zip(records, rows.tolist(), strict=True))

    def _decoded(self, record: bytes, row: int) -> np.ndarray:
        found = image_files.decode_bytes(record, "", self._size, self.shape[2])
        if found.fault:
            raise self._fault(row, found.fault.removeprefix(": "))
        if found.pixels.shape != self.shape:
            raise self._fault(
                row,
                f"expected a picture of shape {self.shape}. Received: one of shape "
                f"{found.shape}. Pack the source again.",
            )
        return found.pixels

    def _say_what_is_wrong(
        self, record: bytes, row: int, drawn: np.ndarray, scale: float
    ) -> None:
        """Raises a `RowError` if this is the row whose window cannot be decoded."""
        try:
            windows.decoded([record], drawn, scale, self.shape)
        except Exception as error:
            self._decoded(record, row)  # It says what is wrong in words of ours.
            raise self._fault(row, first_line(error)) from error

    def _fault(self, row: int, fault: str) -> RowError:
        files = files_of(self._packed.folder)
        file = f" ({files[row]})" if files else ""
        return RowError(f"{self._packed.name}, row {row}{file}: {fault}")


def files_of(folder: pathlib.Path) -> list[str] | None:
    """The path of each row's file, relative to the source; None: they have none."""
    try:
        text = (folder / layout.FILES).read_bytes()
    except OSError:
        return None
    return text.decode("utf-8", "surrogateescape").split("\n")[:-1] or None
