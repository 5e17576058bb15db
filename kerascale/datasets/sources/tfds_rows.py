"""Pictures that TFDS prepared as ArrayRecord, read by their number where they are."""

import hashlib
import json
import os
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from kerascale.datasets import cache, resizing
from kerascale.datasets.host_rows import HostRows, RowError, StageClock
from kerascale.datasets.packed.records import DamagedRecordError, Records
from kerascale.datasets.packed.sources.stamps import identity_of
from kerascale.datasets.sources import (
    tfds_examples,
    tfds_labels,
    tfds_prepared,
    tfds_source,
)
from kerascale.errors import first_line
from kerascale.runtime.console import say

PREFIX = "tfds:"
# Records that are looked at together for their labels.
_RECORDS = 512
# From then on it takes seconds, and is said.
_MANY_BYTES = 2**28
_FACTS = "facts.json"


def open_rows(name: str, image_size: int | None) -> "TfdsRows | str":
    """The pictures of a data set, or why they cannot be read in place.

    Args:
        name: `tfds:NAME`.
        image_size: Height and width that they are resized to; None: they have one
            size.

    Raises:
        RefusedError: If there is no such data set, it cannot be prepared, or its
            pictures differ in their size and none is told.
    """
    prepared = tfds_prepared.prepare(name)
    info = prepared.builder.info
    if info.file_format != tfds.core.FileFormat.ARRAY_RECORD:
        return f"it was prepared as {info.file_format.value}"
    chosen = prepared.chosen
    if chosen.kind != "image":
        return f"it is {chosen.kind} data"
    leaves = (*chosen.features, *chosen.labels)
    if len(leaves) != 2 or chosen.labels[0].form != "class":
        return "its labels are no classes"
    if any(leaf.name not in info.features for leaf in leaves):
        return "its pictures are within other features"
    feature, label = (leaf.name for leaf in leaves)
    tfds_source.image_bytes(prepared.name, info.features[feature], image_size)
    if np.dtype(info.features[feature].np_dtype) != np.uint8:
        return "its pixels are no bytes"
    paths = [str(p) for s in prepared.splits for p in info.splits[s].filepaths]
    if any("://" in path for path in paths):
        return "its files are not on a disk"
    keys = (feature, label)
    return TfdsRows(prepared.name, prepared.builder, prepared.splits, keys, image_size)


class TfdsRows:
    """The pictures of a prepared data set, with class indices as labels.

    Args:
        name: Without the prefix.
        builder: Of TFDS; its files are ArrayRecord, on a disk.
        splits: Those that can be used: `train` first.
        keys: Names of the picture and of the label.
        image_size: See `open_rows`.

    Raises:
        RefusedError: If files are missing or damaged, or training examples have no
            label.
    """

    def __init__(
        self,
        name: str,
        builder: tfds.core.DatasetBuilder,
        splits: Sequence[str],
        keys: tuple[str, str],
        image_size: int | None,
    ) -> None:
        self._builder = builder
        self._size = image_size
        info = builder.info
        self._feature, self._label = keys
        self._features = info.features
        self.name = f"{PREFIX}{name}"
        self.class_names = tuple(info.features[self._label].names)
        shape = info.features[self._feature].shape
        self.shape = shape if image_size is None else (image_size, image_size, shape[2])
        self.folder = os.fspath(builder.data_dir)
        self.clock = StageClock()
        self._shards = {split: self._shards_of(split) for split in splits}
        self._records = {
            split: Records(pathlib.Path(self.folder), shards)
            for split, shards in self._shards.items()
        }
        self.labels, found = self._facts()
        text = json.dumps([found, list(self.shape)])
        self.fingerprint = hashlib.sha256(text.encode()).hexdigest()

    def reader(self, split: str) -> HostRows:
        """Reads pictures of a split, as those in memory are, to the last bit."""

        def read(rows: np.ndarray) -> list[np.ndarray]:
            return [self._read(split, rows)]

        return HostRows(read, [tf.TensorSpec(self.shape, tf.uint8)], self.clock)

    # ------------------------------------------------------------- labels, once

    def _facts(self) -> tuple[dict[str, np.ndarray], str]:
        """Split -> labels, int64 of shape (rows,), and a sha256 of all records."""
        info = self._builder.info
        paths = [
            os.path.join(self.folder, shard["file"])
            for shards in self._shards.values()
            for shard in shards
        ]
        key = [info.full_name, self._label, identity_of(paths)]
        folder = cache.prepare_once(cache.name_of("tfds-rows", key), self._look)
        labels = {split: np.load(folder / f"{split}.npy") for split in self._shards}
        facts = json.loads((folder / _FACTS).read_text())
        usable = tfds_labels.known(self.name, labels)
        return {split: labels[split] for split in usable}, facts["sha256"]

    def _look(self, folder: pathlib.Path) -> None:
        """Reads all records for their labels; no picture is decoded."""
        size = sum(s["bytes"] for each in self._shards.values() for s in each)
        if size > _MANY_BYTES:
            say(f"data: reading {self.name} for its labels, once: {size / 1e9:.1f} GB")
        digest = hashlib.sha256()
        for split, shards in self._shards.items():
            count = sum(shard["rows"] for shard in shards)
            labels = np.empty(count, np.int64)
            for start in range(0, count, _RECORDS):
                rows = np.arange(start, min(start + _RECORDS, count))
                for row, record in zip(rows, self._whole(split, rows), strict=True):
                    labels[row] = self._parsed(record, self._label)
                    digest.update(len(record).to_bytes(8, "little") + record)
            np.save(folder / f"{split}.npy", labels)
        (folder / _FACTS).write_text(json.dumps({"sha256": digest.hexdigest()}))

    # ------------------------------------------------------------------ records

    def _shards_of(self, split: str) -> list[dict[str, Any]]:
        info = self._builder.info.splits[split]
        shards = []
        for path, rows in zip(info.filepaths, info.shard_lengths, strict=True):
            try:
                size = os.path.getsize(path)
            except OSError as error:
                tfds_examples.refuse_damaged_files(self._builder, split, error)
                raise
            file = os.path.basename(path)
            shards.append({"file": file, "rows": rows, "bytes": size})
        return shards

    def _whole(self, split: str, rows: np.ndarray) -> list[bytes]:
        try:
            return self._records[split].read(rows)
        except Exception as error:  # Of ArrayRecord's, RuntimeError and others.
            tfds_examples.refuse_damaged_files(self._builder, split, error)
            raise

    def _parsed(self, record: bytes, wanted: str) -> Any:
        """One feature of a record; the others are not decoded."""
        skipped = {
            key: tfds.decode.SkipDecoding() for key in self._features if key != wanted
        }
        return self._features.deserialize_example_np(record, decoders=skipped)[wanted]

    def _read(self, split: str, rows: np.ndarray) -> np.ndarray:
        with self.clock.stage("read"):
            try:
                records = self._records[split].read(rows)
            except DamagedRecordError as error:
                raise self._fault(split, error.row, "a damaged record") from error
        with self.clock.stage("decode"):
            pictures = [
                self._picture(split, row, record)
                for row, record in zip(rows.tolist(), records, strict=True)
            ]
            return self._resized(pictures)

    def _picture(self, split: str, row: int, record: bytes) -> np.ndarray:
        try:
            return self._parsed(record, self._feature)
        except Exception as error:  # Of a decoder's, of many kinds.
            raise self._fault(split, row, first_line(error)) from error

    def _resized(self, pictures: Sequence[np.ndarray]) -> np.ndarray:
        if self._size is None:
            return np.stack(pictures)
        with tf.device("CPU:0"):
            if len({picture.shape for picture in pictures}) == 1:
                pictures = [np.stack(pictures)]
            else:
                pictures = [picture[None] for picture in pictures]
            wanted = (self._size, self._size)
            return np.concatenate(
                [
                    each
                    if each.shape[1:3] == wanted
                    else resizing.resized_batch(each, self._size).numpy()
                    for each in pictures
                ]
            )

    def _fault(self, split: str, row: int, fault: str) -> RowError:
        behind = np.cumsum([shard["rows"] for shard in self._shards[split]])
        shard = self._shards[split][int(np.searchsorted(behind, row, side="right"))]
        return RowError(
            f"{self.name}, {split}, row {row}: expected a picture in "
            f"{os.path.join(self.folder, shard['file'])}. Received: {fault}. Restore "
            f"that file, or delete {self.folder} to have it prepared again."
        )
