"""Data that is read by index from Python: a user's own, Grain's, TFDS' data sources."""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import tensorflow as tf

from kerascale.config import TrainingConfig
from kerascale.datasets import (
    class_weights,
    gathers,
    order,
    pipeline,
    splits,
    training_examples,
)
from kerascale.datasets.bundle import Datasets
from kerascale.datasets.host_rows import HostRows, RowError, StageClock
from kerascale.datasets.info import DataInfo
from kerascale.datasets.raw import Kind
from kerascale.datasets.sources.label_checks import check_class_count
from kerascale.errors import RefusedError, first_line

# Rows that are looked at to know their form, and that are read at once.
_READ_ROWS = 256
# Training rows of which mean and variance are taken: a fixed part of more.
_MOMENT_ROWS = 16_384
_PAIRS = (("image", "label"), ("features", "label"), ("x", "y"))


class Indexed(Protocol):
    """Rows by their number; `__getitems__`, of many at once, is used if it is there."""

    def __len__(self) -> int:
        """How many rows there are."""

    def __getitem__(self, index: int) -> Any:
        """(features, label), or a mapping of them, of a row."""


def from_indexed(
    source: Indexed,
    config: TrainingConfig,
    *,
    validation: Indexed | None = None,
    test: Indexed | None = None,
    labels: Sequence[int] | None = None,
    class_names: Sequence[str] | None = None,
    num_threads: int = 1,
    name: str = "indexed",
) -> Datasets:
    """Datasets out of anything with `__len__` and `__getitem__` or `__getitems__`.

    Nothing but labels is kept in memory. Rows are read ahead of the steps; the order,
    resuming and several workers are those of any other data.

    Args:
        source: Row -> (features, label), or a mapping with `image` or `features` (or
            `x`) and `label` (or `y`). Features are numbers of one shape and dtype;
            labels class indices.
        config: Its batch size, seed, order, splits and augmentation are used.
        validation: Like `source`; None: a share of it is held back, by its labels.
        test: Like `validation`.
        labels: Those of all rows of `source`, where they are known; None: they are
            read, which reads all rows once.
        class_names: The name of each class, by label index.
        num_threads: That read at once. More than one only if `source` can be called by
            several threads, as Grain's data sets and TFDS' data sources can.
        name: What to call the data in reports.

    Raises:
        RefusedError: If rows are not as expected.

    Example:

    ```python
    source = tfds.data_source("mnist", split="train")
    data = ks.datasets.from_indexed(source, config, num_threads=4)
    run = ks.train(recipe, config, datasets=data)
    ```
    """
    given = {"train": source, "validation": validation, "test": test}
    readers = {
        split: _Reader(each, f"{name}, {split}", num_threads)
        for split, each in given.items()
        if each is not None
    }
    train = readers["train"]
    for reader in readers.values():
        reader.refuse_unlike(train)
    known = {s: r.labels(labels if s == "train" else None) for s, r in readers.items()}
    count = len(class_names or ()) or 1 + max(int(k.max()) for k in known.values())
    check_class_count(name, count)
    names = tuple(class_names or map(str, range(count)))
    rows = {split: np.arange(len(each)) for split, each in known.items()}
    lacking = [split for split in ("test", "validation") if split not in readers]
    part_of = splits.parts_of(known["train"], lacking, config.validation_fraction)
    for split in ("train", *lacking):
        rows[split] = np.flatnonzero(part_of == splits.NUMBERS[split])
        readers[split], known[split] = train, known["train"]
    batches = {
        split: readers[split].batches(own, known[split], split, config)
        for split, own in rows.items()
    }
    mean, variance = train.moments(rows["train"])
    if config.class_weight:
        counts = np.bincount(known["train"][rows["train"]], minlength=count)
        weights = class_weights.weights_of(config.class_weight, names, counts)
        batches["train"] = training_examples.weighted(batches["train"], weights)
    if train.kind == "image":
        batches["train"] = training_examples.augmented(batches["train"], config)
    info = DataInfo(
        name=name,
        kind=train.kind,
        input_shape=train.shape,
        class_names=names,
        dtype=train.dtype.name if train.kind == "image" else None,
        num_examples={split: len(own) for split, own in rows.items()},
    )
    return Datasets(info, **batches, mean=mean, variance=variance)


class _Reader:
    """Reads rows of one source, and says which one is not as the others."""

    def __init__(self, source: Indexed, name: str, num_threads: int) -> None:
        self._source = source
        self._name = name
        self._many = getattr(source, "__getitems__", None)
        if not hasattr(source, "__len__") or not (
            self._many or hasattr(source, "__getitem__")
        ):
            raise RefusedError(
                f"{name}: expected an object with __len__, and __getitem__ or "
                f"__getitems__. Received: {type(source).__name__}."
            )
        if not len(source):
            raise RefusedError(f"{name}: expected at least one row. Received: none.")
        self.clock = StageClock()
        features, _ = self._pairs(np.array([0]))[0]
        self.shape, self.dtype = self._form(np.asarray(features))
        self.host = HostRows(
            self._read,
            [tf.TensorSpec(self.shape, self.dtype), tf.TensorSpec([], tf.int64)],
            self.clock,
            num_threads,
        )

    @property
    def kind(self) -> Kind:
        return "image" if len(self.shape) == 3 else "vector"

    def _form(self, first: np.ndarray) -> tuple[tuple[int, ...], np.dtype]:
        is_image = first.ndim == 3 and first.dtype in (np.uint8, np.float32)
        is_vector = first.ndim in (1, 2) and first.dtype.kind in "buif"
        if not is_image and not is_vector:
            raise RefusedError(
                f"{self._name}: expected features of shape (features,), (time, "
                "features) or, in uint8 or float32, (height, width, channels). "
                f"Received: row 0 of shape {first.shape} and {first.dtype}. Convert it."
            )
        return first.shape, first.dtype if is_image else np.dtype(np.float32)

    def refuse_unlike(self, train: "_Reader") -> None:
        if (self.shape, self.dtype) != (train.shape, train.dtype):
            raise RefusedError(
                f"{self._name}: expected features as in training: shape {train.shape} "
                f"and {train.dtype}. Received: shape {self.shape} and {self.dtype}."
            )

    def labels(self, given: Sequence[int] | None) -> np.ndarray:
        """Of all rows, int64."""
        count = len(self._source)
        if given is not None:
            found = np.asarray(given)
        else:
            parts = range(0, count, _READ_ROWS)
            found = np.concatenate(
                [
                    self.host.arrays(np.arange(i, min(i + _READ_ROWS, count)))[1]
                    for i in parts
                ]
            )
        is_whole = found.shape == (count,) and found.dtype.kind in "iu"
        if not is_whole or found.min() < 0:
            raise RefusedError(
                f"{self._name}: expected {count} labels, class indices from 0. "
                f"Received: {found.dtype} of shape {found.shape}"
                f"{f', with {found.min()}' if is_whole else ''}."
            )
        return found.astype(np.int64)

    def batches(
        self, rows: np.ndarray, labels: np.ndarray, split: str, config: TrainingConfig
    ) -> pipeline.Batches:
        with tf.device("CPU"):
            numbers, known = tf.constant(rows), tf.constant(labels[rows])

        def gather(indices: tf.Tensor, epoch: tf.Tensor) -> tuple[Any, Any]:
            del epoch
            features, _ = self.host(tf.gather(numbers, indices))
            return features, tf.gather(known, indices)

        made = gathers.traced_as_it_is(gather)
        return pipeline.Batches(
            made,
            num_examples=len(rows),
            batch_size=config.micro_batch_size,
            seed=config.seed,
            host=self.host,
            **order.of_split(split, config),
        )

    def moments(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean and variance of the training rows, or of a fixed part of many."""
        if len(rows) > _MOMENT_ROWS:
            places = np.linspace(0, len(rows) - 1, _MOMENT_ROWS).astype(np.int64)
            rows = rows[places]
        axis = tuple(range(len(self.shape))) if self.kind == "vector" else None
        total = squares = 0.0
        for start in range(0, len(rows), _READ_ROWS):
            features = self.host.arrays(rows[start : start + _READ_ROWS])[0]
            values = features.astype(np.float64)
            total = total + values.sum(axis=axis)
            squares = squares + np.square(values).sum(axis=axis)
        count = len(rows) * int(np.prod(self.shape))
        if self.kind == "vector":
            count //= self.shape[-1]
        mean = np.asarray(total / count)
        variance = np.maximum(np.asarray(squares / count) - np.square(mean), 0.0)
        return training_examples.scale(mean, variance, self.kind, ())

    # ------------------------------------------------------------------ one row

    def _read(self, rows: np.ndarray) -> list[np.ndarray]:
        with self.clock.stage("read"):
            pairs = self._pairs(rows)
        features = np.empty((len(rows), *self.shape), self.dtype)
        labels = np.empty(len(rows), np.int64)
        for place, (value, label) in enumerate(pairs):
            array = np.asarray(value)
            if array.shape != self.shape:
                raise RowError(
                    f"{self._name}, row {rows[place]}: expected features of shape "
                    f"{self.shape}, as row 0 has. Received: shape {array.shape}."
                )
            features[place], labels[place] = array, int(label)
        return [features, labels]

    def _pairs(self, rows: np.ndarray) -> list[tuple[Any, Any]]:
        numbers = rows.tolist()
        try:
            if self._many is not None:
                found = list(self._many(numbers))
            else:
                found = [self._source[number] for number in numbers]
        except Exception as error:  # Of a user's own code.
            raise self._failed(numbers, error) from error
        return [
            self._pair(row, number) for row, number in zip(found, numbers, strict=True)
        ]

    def _failed(self, numbers: list[int], error: Exception) -> RowError:
        """The row that cannot be read, asked for by itself."""
        for number in numbers:
            try:
                self._many([number]) if self._many else self._source[number]
            except Exception as own:
                what = f"{type(own).__name__}: {first_line(own)}"
                return RowError(f"{self._name}, row {number}: {what}")
        what = f"{type(error).__name__}: {first_line(error)}"
        return RowError(f"{self._name}, rows {numbers[0]} to {numbers[-1]}: {what}")

    def _pair(self, row: Any, number: int) -> tuple[Any, Any]:
        if isinstance(row, dict):
            for x, y in _PAIRS:
                if x in row and y in row:
                    return row[x], row[y]
        elif isinstance(row, tuple | list) and len(row) == 2:
            return row[0], row[1]
        raise RefusedError(
            f"{self._name}, row {number}: expected (features, label), or a mapping "
            "with image, features or x, and label or y. Received: "
            f"{sorted(row) if isinstance(row, dict) else type(row).__name__}."
        )
