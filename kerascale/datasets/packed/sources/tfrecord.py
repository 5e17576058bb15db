"""`tfrecord:PATH`: TFRecord files, one record after the other."""

import os
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from kerascale.config.tasks import OF_CLASSES
from kerascale.datasets.packed.rows import Facts, Rows, RowSource
from kerascale.datasets.packed.sources import record_targets
from kerascale.datasets.packed.sources.ahead import in_order
from kerascale.datasets.packed.sources.counted_labels import CountedLabels
from kerascale.datasets.packed.sources.pictures import Pictures
from kerascale.datasets.packed.sources.records import Bad, Batch, Good, bytes_of
from kerascale.datasets.packed.sources.stamps import Stamps
from kerascale.datasets.sources.checks import MAX_LISTED, Problems, check_features
from kerascale.datasets.sources.image_channels import NAMES
from kerascale.datasets.sources.image_files import decode_bytes
from kerascale.datasets.sources.image_headers import look
from kerascale.datasets.sources.label_checks import check_num_classes
from kerascale.datasets.sources.tfrecord_examples import ExampleError
from kerascale.datasets.sources.tfrecord_faults import Faults
from kerascale.datasets.sources.tfrecord_files import Damage, read_records
from kerascale.datasets.sources.tfrecord_parsing import (
    Parser,
    read_schema,
    refuse_missing_files,
)
from kerascale.datasets.sources.tfrecord_paths import find
from kerascale.datasets.sources.tfrecord_schema import Schema
from kerascale.datasets.sources.tfrecord_source import stacked
from kerascale.errors import RefusedError
from kerascale.runtime.free_memory import available_bytes

if TYPE_CHECKING:
    from kerascale.datasets.packed.sources import SourceOptions

_BATCH_RECORDS = 1024
_BATCH_BYTES = 4 * 2**20
_SHARE_OF_MEMORY = 0.25


def open_rows(rest: str, options: "SourceOptions") -> RowSource:
    """The records of files; see `tfrecord_source.load_tfrecord`.

    Raises:
        RefusedError: If there are no files, or no schema of them.
    """
    return TFRecords(rest, options)


class TFRecords:
    """The records of files, in the order of their names.

    Args:
        path: A file, a folder or a pattern.
        options: `num_classes`, `image_size`, `skip_damaged_share` and `jobs` count.

    Raises:
        RefusedError: If there are no files, or no schema of them.
    """

    num_rows: int | None = None

    def __init__(self, path: str, options: "SourceOptions") -> None:
        self.name = f"tfrecord:{path}"
        self._path, self._options = path, options
        check_num_classes(options.num_classes)
        files = find(path)
        schema = read_schema(files, options.num_classes)
        if schema is not None and os.path.isdir(path):
            refuse_missing_files(files, schema)
        self._num_classes = options.num_classes
        if schema is not None and schema.class_names is not None:
            self._num_classes = len(schema.class_names)
        takes_targets = options.task not in OF_CLASSES
        self._parser = Parser(schema, self._num_classes, takes_targets=takes_targets)
        self._files = [
            (split, file) for split in sorted(files) for file in files[split]
        ]
        self.given_splits = tuple(sorted(files))
        self.num_bytes: int | None = sum(os.path.getsize(f) for _, f in self._files)
        self._faults = Faults(path, options.skip_damaged_share)
        self._labels, self._pictures = CountedLabels(), Pictures()
        first = self._first_good()
        self.kind, self.encoding = self._form(first)
        self._targets = record_targets.decide(options.task, self._schema, first.label)

    def identity(self) -> dict[str, Any]:
        stamps = Stamps()
        for _, file in self._files:
            stamps.add(file, os.path.basename(file))
        return stamps.to_json()

    def read(self, state: Mapping[str, Any]) -> Iterator[Rows]:
        self._faults = Faults(self._path, self._options.skip_damaged_share)
        if state:
            self._faults.restore(state["faults"])
        self._labels = CountedLabels(state.get("labels"))
        self._pictures = Pictures(state.get("pictures"))
        place, behind = state.get("file", 0), state.get("records", 0)
        used = state.get("used", 0)
        work = self._seen if self._schema.kind == "image" else lambda batch: batch
        batches = ((self._size_of(b), b) for b in self._batches(place, behind))
        for batch in in_order(work, batches, self._options.jobs):
            good = self._take(batch)
            used += len(good)
            if batch.is_last:
                expected = self._schema.records.get(os.path.basename(batch.file))
                self._faults.end_of_file(batch.file, used, expected)
                used = 0
            if not self._faults.share and len(self._faults.lines) >= MAX_LISTED:
                self._faults.settle()
            features, labels = self._arrays(batch, good)
            yield Rows(
                features,
                labels,
                batch.split,
                None,
                {
                    "file": batch.place + batch.is_last,
                    "records": 0 if batch.is_last else batch.behind,
                    "used": used,
                    "faults": self._faults.to_json(),
                    "labels": self._labels.to_json(),
                    "pictures": self._pictures.to_json(),
                },
                batch.bytes_read,
            )

    def facts(self) -> Facts:
        self._faults.settle()
        schema = self._schema
        shape = self._pictures.shape() if self.encoding == "image" else None
        if self._targets is not None:
            return Facts(
                (),
                schema.feature_names(),
                skipped=tuple(self._faults.lines),
                image_shape=shape,
                task=self._targets.task,
                target_names=self._targets.names,
            )
        labels = f"{self._path}, {schema.label!r}"
        count = self._labels.settle(labels, self._num_classes, "records")
        names = schema.class_names or tuple(str(i) for i in range(count))
        return Facts(
            names,
            schema.feature_names(),
            skipped=tuple(self._faults.lines),
            image_shape=shape,
        )

    @property
    def _schema(self) -> Schema:
        return self._parser.schema

    def _first_good(self) -> Good:
        """The first record that can be used: it tells what all are."""
        for _, file in self._files:
            for record in self._records(file, 0):
                if isinstance(record, Good):
                    return record
                self._faults.add(file, *record)
                # In memory all would be told; here they are when they are read.
                if len(self._faults.lines) >= MAX_LISTED:
                    break
        Faults.settle(self._faults)
        raise RefusedError(
            f"{self._path}: expected records. Received: none that can be used. Check "
            "the files."
        )

    def _form(self, first: Good) -> tuple[Any, str | None]:
        kind = self._schema.kind
        if kind == "image":
            is_flat = self._options.image_size is not None
            return "image", None if is_flat else "image"
        if kind == "text":
            return "text", "text"
        problems = Problems(f"{self._path} cannot be used", subject=self._path)
        rows = stacked([first.values], self._schema)
        checked = check_features(rows, "the examples", problems)
        problems.raise_if_any()
        return checked[0], None

    def _records(self, file: str, behind: int) -> Iterator[Good | Bad]:
        """The records of a file whose number is greater than `behind`."""
        largest = int(available_bytes() * _SHARE_OF_MEMORY)
        for record in read_records(file, largest):
            if record.number <= behind:
                continue
            if isinstance(record, Damage):
                yield Bad(*record)
                continue
            try:
                yield Good(record.number, *self._parser.parse(file, record))
            except ExampleError as error:
                yield Bad(record.number, str(error))

    def _batches(self, place: int, behind: int) -> Iterator[Batch]:
        before = sum(os.path.getsize(file) for _, file in self._files[:place])
        for number, (split, file) in enumerate(self._files[place:], place):
            records: list[Good | Bad] = []
            held, last = 0, behind
            total = os.path.getsize(file)
            for record in self._records(file, behind):
                records.append(record)
                held, last = held + bytes_of(record), record.number
                if len(records) >= _BATCH_RECORDS or held >= _BATCH_BYTES:
                    yield Batch(number, split, file, records, last, before, False)
                    records, held = [], 0
            behind, before = 0, before + total
            yield Batch(number, split, file, records, last, before, True)

    def _size_of(self, batch: Batch) -> int:
        return sum(map(bytes_of, batch.records))

    def _seen(self, batch: Batch) -> Batch:
        """Pictures that were looked at, or decoded and resized."""
        name, size = repr(self._schema.features[0].name), self._options.image_size
        records: list[Good | Bad] = []
        for record in batch.records:
            if isinstance(record, Good):
                (content,) = record.values
                if size is None:
                    image = look(content, name)
                else:
                    image = decode_bytes(content, name, (size, size))
                if image.fault:
                    record = Bad(record.number, image.fault)
                else:
                    row = content if size is None else image.pixels
                    record = record._replace(values=[row, image.shape])
            records.append(record)
        return batch._replace(records=records)

    def _take(self, batch: Batch) -> list[Good]:
        """The records that are used; the others are noted."""
        good = []
        for record in batch.records:
            if isinstance(record, Good) and self._schema.kind == "image":
                row, shape = record.values
                reason = self._wrong_channels(shape)
                if reason:
                    record = Bad(record.number, reason)
                else:
                    self._pictures.add(shape)
                    record = record._replace(values=[row])
            if isinstance(record, Good):
                good.append(record)
            else:
                self._faults.add(batch.file, *record)
        return good

    def _wrong_channels(self, shape: tuple[int, ...]) -> str:
        usual, channels = self._pictures.channels(), shape[2]
        if channels not in (1, 3, 4):
            return (
                f"expected 1, 3 or 4 channels. Received: shape {shape} (gray with "
                "transparency?). Convert it to RGB or to gray"
            )
        if usual not in (None, channels):
            return (
                f"expected {usual} channels, as the records before. Received: shape "
                f"{shape}. Convert it to {NAMES[usual]}"
            )
        return ""

    def _arrays(self, batch: Batch, good: list[Good]) -> tuple[np.ndarray, np.ndarray]:
        places = [f"{batch.file}, record {record.number}" for record in good]
        if self._targets is not None:
            own = [record.label for record in good]
            labels = self._targets.of_records(own, places)
        else:
            labels = np.array([record.label for record in good], np.int64)
        if not good:
            return np.empty(0, object), labels
        if self._targets is None:
            self._labels.add(batch.split, labels, places)
        values = [record.values for record in good]
        if self.encoding is not None:
            features = np.empty(len(values), object)
            features[:] = [value for (value,) in values]
            return features, labels
        problems = Problems(f"{self._path} cannot be used")
        checked = check_features(
            stacked(values, self._schema),
            f"the examples from {places[0]} on",
            problems,
        )
        problems.raise_if_any()
        return checked[1], labels
