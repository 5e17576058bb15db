"""A file of TensorBoard events that can be cut, and that waits for room."""

import base64
import io
import pathlib
import struct
import time
from typing import Any

import google_crc32c
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary

from kerascale.callbacks.deferred_writes import RecordFile, Unwritten
from kerascale.runtime.console import say

# TensorBoard looks for `tfevents`. One file for each part of a run: where it is cut
# and goes on, what is read while that happens still fits.


class EventsFile:
    """A file of TensorBoard events, in the format of TFRecord.

    Args:
        path: The file.
        unwritten: See `RecordFile`.
    """

    def __init__(self, path: pathlib.Path, unwritten: Unwritten | None) -> None:
        self.file = RecordFile(path, unwritten)

    @property
    def is_new(self) -> bool:
        """Whether nothing was written yet."""
        return self.file.size == 0

    def write(self, step: int, *summaries: Summary) -> None:
        """Appends the values of one step."""
        together = Summary()
        for summary in summaries:
            together.MergeFrom(summary)
        self._append(Event(wall_time=time.time(), step=step, summary=together))

    def write_graph(self, graph: bytes) -> None:
        """Appends a serialized `GraphDef`."""
        self._append(Event(wall_time=time.time(), graph_def=graph))

    def _append(self, event: Event) -> None:
        entry = io.BytesIO()
        if self.is_new:
            version = "brain.Event:2"
            _frame(entry, Event(wall_time=event.wall_time, file_version=version))
        _frame(entry, event)
        self.file.append(entry.getvalue())

    def get_state(self) -> dict[str, Any]:
        """How much there is, and what of it could not be written."""
        return {
            "size": self.file.size - len(self.file.waiting),
            "waiting": base64.b64encode(self.file.waiting).decode(),
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """Goes back to what there was."""
        size = whole_size(self.file.path, state["size"])
        if size < state["size"]:
            say(
                f"tensorboard: {self.file.path} has lost its last "
                f"{state['size'] - size:,} bytes, so its curves have a gap"
            )
        self.file.cut(size, base64.b64decode(state["waiting"]))


def whole_size(path: pathlib.Path, limit: int) -> int:
    """The bytes of whole events at the beginning of a file, at most `limit`."""
    if not path.exists():
        return 0
    end = min(path.stat().st_size, limit)
    size = 0
    with open(path, "rb") as file:
        while size + 12 <= end:
            file.seek(size)
            following = size + 16 + struct.unpack("<Q", file.read(8))[0]
            if following > end:
                break
            size = following
    return size


def _frame(file: io.BytesIO, event: Event) -> None:
    data = event.SerializeToString()
    length = struct.pack("<Q", len(data))
    file.write(length + _masked_crc(length) + data + _masked_crc(data))


def _masked_crc(data: bytes) -> bytes:
    # As TFRecord wants it: https://www.tensorflow.org/tutorials/load_data/tfrecord
    crc = google_crc32c.value(data)
    masked = ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
    return struct.pack("<I", masked)
