"""Writes what TensorBoard shows, so that a run that goes on continues its curves."""

import base64
import io
import os
import pathlib
import struct
import time
from typing import Any

import google_crc32c
import keras
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.scalar.summary_v2 import scalar_pb

from kerascale.callbacks.unwritten import RecordFile, Unwritten
from kerascale.console import say

# TensorBoard looks for `tfevents`. One file for each part of a run: where it is cut
# and goes on, what is read while that happens still fits.
EVENTS = "events.out.tfevents.kerascale"


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
        entry = io.BytesIO()
        now = time.time()
        if self.is_new:
            _frame(entry, Event(wall_time=now, file_version="brain.Event:2"))
        together = Summary()
        for summary in summaries:
            together.MergeFrom(summary)
        _frame(entry, Event(wall_time=now, step=step, summary=together))
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


class TensorBoardRecord(keras.callbacks.Callback):
    """Writes the curves of an epoch as `keras.callbacks.TensorBoard` does.

    Unlike it, it continues the curves of a run that goes on, with no gap and no step
    twice: what was written after the state that the run goes on from is cut off. And
    a full disk ends nothing: what cannot be written waits.

    Args:
        folder: The folder; below it is one for training and one for validation.
        unwritten: What happens where it cannot be written; None: training stops.
    """

    every_step = False

    def __init__(
        self, folder: str | os.PathLike, unwritten: Unwritten | None = None
    ) -> None:
        super().__init__()
        self._parts = {
            part: EventsFile(pathlib.Path(folder) / part / EVENTS, unwritten)
            for part in ("train", "validation")
        }

    def get_state(self) -> dict[str, Any]:
        """What a run that goes on must know."""
        return {part: events.get_state() for part, events in self._parts.items()}

    def set_state(self, state: dict[str, Any]) -> None:
        for part, events in self._parts.items():
            events.set_state(state[part])

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        for events in self._parts.values():
            events.file.begin()

    def on_train_batch_end(
        self, batch: int, logs: dict[str, Any] | None = None
    ) -> None:
        for events in self._parts.values():
            events.file.retry()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        values = {name: float(value) for name, value in (logs or {}).items()}
        rate = keras.ops.convert_to_numpy(self.model.optimizer.learning_rate)
        training = {n: v for n, v in values.items() if not n.startswith("val_")}
        training["learning_rate"] = float(rate)
        validation = {
            n.removeprefix("val_"): v for n, v in values.items() if n.startswith("val_")
        }
        for part, its in (("train", training), ("validation", validation)):
            if its:
                scalars = [scalar_pb(f"epoch_{n}", v) for n, v in its.items()]
                self._parts[part].write(epoch, *scalars)

    def write_now(self) -> None:
        """Writes what waits."""
        for events in self._parts.values():
            events.file.write_now()


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
