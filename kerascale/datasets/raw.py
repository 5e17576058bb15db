"""What every data source returns: examples in memory, before any batching."""

import dataclasses
from typing import Any, Literal

import numpy as np

from kerascale.config.tasks import Task

Kind = Literal["image", "vector", "text", "corpus", "table"]


@dataclasses.dataclass(frozen=True)
class Split:
    """Examples that belong together: for training, validation or testing.

    Args:
        features: By kind. `image`: uint8 or float32 of shape
            (examples, height, width, channels). `vector`: float32 of shape
            (examples, ...). `table`: object array of `str`, of shape (examples,
            columns). `text`: object array of `str`, shape (examples,).
            `corpus`: object array that holds one `str`, shape (1,).
        labels: int64 class indices of shape (examples,); of a regression and of
            several labels float32 of shape (examples, targets). Of shape (0,) for a
            corpus, which is its own label.
        files: The path of each example's file, an object array of `str` of shape
            (examples,); None where examples have no files of their own.
    """

    features: np.ndarray
    labels: np.ndarray
    files: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.features)

    def take(self, indices: np.ndarray) -> "Split":
        """The examples at `indices`, in that order."""
        files = None if self.files is None else self.files[indices]
        return Split(self.features[indices], self.labels[indices], files)


@dataclasses.dataclass(frozen=True)
class RawData:
    """A data set as its source has it.

    Args:
        name: What the user called it, such as `digits` or `csv:flowers.csv`.
        kind: What `Split.features` holds.
        class_names: The name of each class, in the order of the label indices.
            Empty for a corpus.
        train: The examples to train on. The loader takes the validation examples
            out of them where `validation` is None.
        validation: Examples for early stopping and the choice of the best weights.
        test: Held out: seen only by the final evaluation. The loader takes them
            out of `train` where it is None.
        feature_names: For a table: the name of each column, in order.
        task: What its labels are for; those of classes have `classification` until
            somebody decides.
        is_told: Whether somebody has decided what its task is, and said so.
        target_names: Of a regression the name of each target, of several labels that
            of each label.
        columns: Of a table: what each column was taken for
            (`kerascale.datasets.tables.column.Column`).
    """

    name: str
    kind: Kind
    class_names: tuple[str, ...]
    train: Split
    validation: Split | None = None
    test: Split | None = None
    feature_names: tuple[str, ...] = ()
    task: Task = "classification"
    is_told: bool = False
    target_names: tuple[str, ...] = ()
    columns: tuple[Any, ...] = ()
