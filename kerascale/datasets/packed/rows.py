"""What a source gives to whoever packs it: rows, front to back, a few at a time."""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any, Protocol

import numpy as np

from kerascale.config.tasks import Task
from kerascale.datasets.raw import Kind


@dataclasses.dataclass(frozen=True)
class Rows:
    """Some rows that follow one another.

    Args:
        features: Of shape (rows, ...) and the dtype that `raw.Split` has for its kind;
            or an object array of `bytes` (encoded pictures) or of `str`, of shape
            (rows,). Of a corpus: token ids of shape (tokens,), uint16 or uint32.
        labels: int64 of shape (rows,): class indices, or codes that `Facts.order`
            turns into them. Empty for a corpus. Of a regression and of several labels
            float32 of shape (rows, targets).
        split: Where the source has them: "train", "validation" or "test".
        files: Of each row, the path relative to the source; None: it has none.
        state: What `RowSource.read` needs to go on behind these rows, in JSON. It may
            not change afterwards.
        bytes_read: Of `RowSource.num_bytes`, up to behind these rows; None: not known.
    """

    features: np.ndarray
    labels: np.ndarray
    split: str = "train"
    files: list[str] | None = None
    state: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    bytes_read: int | None = None


@dataclasses.dataclass(frozen=True)
class Facts:
    """What is known when the last row was read.

    Args:
        class_names: In the order of the label indices.
        feature_names: Of a table's columns.
        order: Code -> label index, where labels were given as codes; None: they are
            indices.
        skipped: What was left out because it was damaged, a line for each.
        vocabulary: Of a corpus: its characters in the order of their ids, which begin
            behind padding and unknown ones; or {"bpe": a `tokenizer.json`}, of which
            the ids count from there on, too.
        unused_splits: Splits whose rows are not used, because they have no labels;
            they count as not given.
        image_shape: Of encoded pictures: (height, width, channels) that all have;
            None for a height or width in which they differ. Pictures of other channels
            are to be converted to these.
        task: What the labels are for; those of classes have `classification`.
        target_names: Of a regression the name of each target, of several labels that
            of each label.
        columns: Of a table with more than numbers: what each of its columns is, and
            what the training rows say of it; see `tables.column.Column.to_json`.
        examples: Of the same: some rows as they stand in the file, by `input_name`.
    """

    class_names: tuple[str, ...]
    feature_names: tuple[str, ...] = ()
    order: np.ndarray | None = None
    skipped: tuple[str, ...] = ()
    vocabulary: Any = None
    unused_splits: tuple[str, ...] = ()
    image_shape: tuple[int | None, ...] | None = None
    task: Task = "classification"
    target_names: tuple[str, ...] = ()
    columns: tuple[dict[str, Any], ...] = ()
    examples: Mapping[str, list[str]] = dataclasses.field(default_factory=dict)


class RowSource(Protocol):
    """A source of rows that is read once, in an order that never changes."""

    name: str
    """What the user called it, such as `csv:flowers.csv`."""

    kind: Kind
    """Of the rows."""

    encoding: str | None
    """None: rows of one shape. "image": encoded pictures. "text": strings."""

    num_rows: int | None
    """How many there are; None: that is not known before."""

    num_bytes: int | None
    """Of the source, for the time left; None: not known."""

    given_splits: tuple[str, ...]
    """Splits that the source has itself; `("train",)` where others are taken of it."""

    def identity(self) -> dict[str, Any]:
        """What changes when the source does: files, sizes, times of change; in JSON."""

    def read(self, state: Mapping[str, Any]) -> Iterator[Rows]:
        """All rows, or those behind a state.

        Args:
            state: `{}`: from the first row on; else that of the last rows done.
        """

    def facts(self) -> Facts:
        """After the last row."""
