"""`tfrecord:PATH`: TFRecord files of `tf.train.Example`."""

import dataclasses
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from kerascale.config.tasks import AskedTask
from kerascale.datasets import targets, targets_of_arrays
from kerascale.datasets.raw import RawData
from kerascale.datasets.sources.arrays import Part, assemble
from kerascale.datasets.sources.checks import Problems
from kerascale.datasets.sources.image_files import (
    check_shapes,
    decode_bytes,
)
from kerascale.datasets.sources.label_checks import (
    check_num_classes,
    looks_measured,
    measured_fault,
)
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
from kerascale.errors import RefusedError, TooLargeError
from kerascale.runtime.free_memory import available_bytes

# Training needs room for more than the examples.
_SHARE_OF_MEMORY = 0.7


@dataclasses.dataclass
class _Examples:
    """What was read of one split."""

    values: list[list[Any]] = dataclasses.field(default_factory=list)
    labels: list[Any] = dataclasses.field(default_factory=list)
    places: list[str] = dataclasses.field(default_factory=list)


def load_tfrecord(
    path: str | os.PathLike[str],
    num_classes: int | None = None,
    image_size: int | None = None,
    skip_share: float = 0.0,
    *,
    task: AskedTask = "classification",
) -> RawData:
    """Loads TFRecord files into memory.

    Each record is a `tf.train.Example` with a label (one int64) and an encoded image, a
    text, or numbers of fixed length. What it consists of is told by `schema.json`
    beside the files:

        {"label": "label",
         "features": {"x": {"type": "float", "shape": [28, 28, 1]}},
         "class_names": ["no", "yes"],
         "records": {"train.tfrecord": 1000}}

    with types `image`, `text`, `float` and `int64`; all but `features` may be left
    out. Without that file the first record tells it: `label`, and `image` or
    `image/encoded`, or `text`, or all features of numbers in a row, sorted by name.

    Files whose names have the word train, validation (val) or test in them are that
    split. Names that end in `.gz` and `.zlib` are compressed files. A file that was cut
    off exactly behind a record looks whole, unless `records` tells how many it had, or
    its name (`-00000-of-00004`) that another is missing.

    Args:
        path: A file, a folder, or a pattern such as `data/train-*.tfrecord`.
        num_classes: Labels must be below it. Default: as many as `class_names`, or one
            more than the largest label of the training examples.
        image_size: Height and width in pixels to resize every image to.
        skip_share: At most this share of the records is skipped, and said, where they
            are damaged or not as the schema says. 0: the first such is refused.
        task: What is asked for. `regression` and `multilabel` take a label of floats,
            or of several numbers, which `schema.json` writes as `{"name": "label",
            "type": "float", "shape": [2]}`; `auto` tells it by the label.

    Returns:
        Data of kind `image`, `vector` or `text`, in the order of the files' names.

    Raises:
        RefusedError: With file and number of every record that is wrong.

    Example:

    >>> data = load_tfrecord("flowers")
    """
    path = os.fspath(path)
    check_num_classes(num_classes)
    files = find(path)
    schema = read_schema(files, num_classes)
    if schema is not None and os.path.isdir(path):
        refuse_missing_files(files, schema)
    if schema is not None and schema.class_names is not None:
        num_classes = len(schema.class_names)
    faults = Faults(path, skip_share)
    parser = Parser(schema, num_classes, takes_targets=task != "classification")
    reader = _Reader(parser, image_size, faults)
    splits = {split: _Examples() for split in sorted(files)}
    for split, names in files.items():
        for file in names:
            reader.read(file, splits[split])
    faults.settle()
    return _assemble(path, parser.schema, splits, num_classes, image_size, task)


class _Reader:
    """Reads files whole."""

    def __init__(
        self,
        parser: Parser,
        image_size: int | None,
        faults: Faults,
    ) -> None:
        self._parser = parser
        self._size = None if image_size is None else (image_size, image_size)
        self._faults = faults
        self._room = int(available_bytes() * _SHARE_OF_MEMORY)

    def read(self, file: str, examples: _Examples) -> None:
        """Adds what is in a file to `examples`, and what is wrong to the faults."""
        found = []
        for record in read_records(file, self._room):
            if isinstance(record, Damage):
                self._faults.add(file, record.number, record.reason, record.lost_bytes)
                continue
            self._refuse_what_does_not_fit(file, len(record.content))
            try:
                found.append((record.number, *self._parser.parse(file, record)))
            except ExampleError as error:
                self._faults.add(file, record.number, str(error))
        if self._parser.schema is not None and self._parser.schema.kind == "image":
            found = self._decode(file, found)
        for number, values, label in found:
            examples.values.append(values)
            examples.labels.append(label)
            examples.places.append(f"{file}, record {number}")
        expected = None
        if self._parser.schema is not None:
            expected = self._parser.schema.records.get(os.path.basename(file))
        self._faults.end_of_file(file, len(found), expected)

    def _decode(self, file: str, found: list[tuple]) -> list[tuple]:
        name = repr(self._parser.schema.features[0].name)

        def decode(item: tuple) -> Any:
            (content,) = item[1]
            return decode_bytes(content, name, self._size)

        decoded = []
        with ThreadPoolExecutor() as pool:
            for item, image in zip(found, pool.map(decode, found), strict=True):
                number, _, label = item
                if image.fault:
                    self._faults.add(file, number, image.fault)
                else:
                    self._refuse_what_does_not_fit(file, image.pixels.nbytes)
                    decoded.append((number, [image.pixels], label))
        return decoded

    def _refuse_what_does_not_fit(self, file: str, num_bytes: int) -> None:
        self._room -= num_bytes
        if self._room < 0:
            raise TooLargeError(
                f"{file}: expected data that fits in memory. Received: more than "
                f"{available_bytes() / 2**30:.1f} GiB can hold. Take fewer files, pass "
                "a smaller --image-size N, or a tf.data pipeline from Python "
                "(kerascale.datasets.from_tf_data)."
            )


def _assemble(
    path: str,
    schema: Schema | None,
    splits: Mapping[str, _Examples],
    num_classes: int | None,
    image_size: int | None,
    task: AskedTask,
) -> RawData:
    problems = Problems(f"{path} cannot be used")
    for split, examples in splits.items():
        if not examples.labels:
            problems.add(f"{path}: expected {split} examples. Received: none.")
    problems.raise_if_any()
    if schema.kind == "image":
        shapes = {
            place: values[0].shape
            for examples in splits.values()
            for place, values in zip(examples.places, examples.values, strict=True)
        }
        check_shapes(shapes, image_size is not None, None, problems)
        problems.raise_if_any()
    train = splits["train"]
    if schema.target is not None or task in ("regression", "multilabel"):
        return _with_targets(path, schema, splits, task)
    if task == "auto":
        labels = np.array(train.labels, np.int64)
        if targets_of_arrays.of_arrays(labels, task, num_classes) is not None:
            return _with_targets(path, schema, splits, task)
    largest = int(np.argmax(train.labels))
    if num_classes is None and train.labels[largest] >= max(1000, len(train.labels)):
        raise RefusedError(
            f"{train.places[largest]}: expected labels that count from 0, as "
            f"num_classes is not given. Received: {train.labels[largest]} among "
            f"{len(train.labels)} examples. Pass --num-classes N."
        )
    if num_classes is None:
        distinct, count = set(train.labels), len(train.labels)
        if looks_measured(len(distinct), min(distinct), max(distinct), count):
            way_out = "pass --num-classes N"
            fault = measured_fault(len(distinct), count, "records", way_out)
            raise RefusedError(f"{path}, {schema.label!r}: {fault}")
        num_classes = max(2, train.labels[largest] + 1)
    for split, examples in splits.items():
        for label, place in zip(examples.labels, examples.places, strict=True):
            if label >= num_classes:
                problems.add(
                    f"{place}: expected a label in 0..{num_classes - 1}, as in the "
                    f"training examples. Received: {label} in the {split} examples."
                )
    problems.raise_if_any()
    parts = {
        split: Part(
            f"the {split} examples",
            stacked(examples.values, schema),
            f"the labels of the {split} examples",
            np.array(examples.labels, np.int64),
        )
        for split, examples in splits.items()
    }
    raw = assemble(
        f"tfrecord:{path}",
        parts,
        class_names=schema.class_names,
        num_classes=num_classes,
    )
    return dataclasses.replace(raw, feature_names=schema.feature_names())


def _with_targets(
    path: str, schema: Schema, splits: Mapping[str, _Examples], task: AskedTask
) -> RawData:
    """Records with numbers to predict, or several labels."""
    parts = {
        split: Part(
            f"the {split} examples",
            stacked(examples.values, schema),
            f"the labels of the {split} examples",
            np.array(examples.labels),
        )
        for split, examples in splits.items()
    }
    train = parts["train"].y
    decided = targets_of_arrays.of_arrays(train, task, None)
    if decided is None:  # Whole numbers as floats can be nothing else here.
        decided = targets.Decision("regression", f"{schema.label!r} holds floats")
    decided.say(task)
    count = train.shape[1] if train.ndim > 1 else 1
    names = (
        [schema.label] if count == 1 else [f"{schema.label}_{i}" for i in range(count)]
    )
    raw = assemble(
        f"tfrecord:{path}",
        parts,
        class_names=schema.class_names or names,
        task=decided.task,
    )
    return dataclasses.replace(raw, feature_names=schema.feature_names())


def stacked(values: list[list[Any]], schema: Schema) -> np.ndarray:
    """The values of examples as one array, as the schema has them."""
    if schema.kind == "text":
        texts = np.empty(len(values), dtype=object)
        texts[:] = [text for (text,) in values]
        return texts
    if len(schema.features) == 1 and schema.features[0].shape:
        return np.stack([array for (array,) in values])
    if schema.kind == "image":
        return np.stack([image for (image,) in values])
    return np.stack([np.hstack(row) for row in values])
