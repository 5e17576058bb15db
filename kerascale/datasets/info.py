"""What is known of a data set beside its examples; it is written into the run."""

import dataclasses
import hashlib
from typing import Any

import numpy as np

from kerascale.config.tasks import Task
from kerascale.datasets.raw import Kind, RawData, Split
from kerascale.runtime.console import counted


@dataclasses.dataclass(frozen=True)
class DataInfo:
    """A data set without its examples.

    Args:
        name: What the user called it.
        kind: `image`, `vector`, `text` or `corpus`; None for a user's `tf.data`.
        input_shape: Shape of one example as the model's core takes it; None is a
            free dimension.
        class_names: The name of each class, by label index.
        feature_names: Columns of a table, in order.
        dtype: dtype of images: the network saw pixels in 0..255 (uint8) or numbers
            (float32).
        num_examples: Split -> examples (of a corpus: windows).
        vocabulary_size: Ids of a text, padding and unknown included.
        fingerprint: sha256 of all examples and labels.
        task: What its labels are for.
        target_names: Of a regression the name of each target, of several labels that
            of each label.
        target_mean: Of each target of a regression, over the training examples.
        target_scale: The standard deviation of each.
        target_loss: Of a regression, what is made small: `squared` errors or the
            `poisson` deviance.
        columns: Of a table, what became of each column: `name`, `kind`, `why`,
            `input_name`, `summary`.
    """

    name: str
    kind: Kind | None
    input_shape: tuple[int | None, ...]
    class_names: tuple[str, ...]
    feature_names: tuple[str, ...] = ()
    dtype: str | None = None
    num_examples: dict[str, int] = dataclasses.field(default_factory=dict)
    vocabulary_size: int | None = None
    fingerprint: str | None = None
    task: Task = "classification"
    target_names: tuple[str, ...] = ()
    target_mean: tuple[float, ...] = ()
    target_scale: tuple[float, ...] = ()
    target_loss: str = "squared"
    columns: tuple[dict[str, Any], ...] = ()

    @property
    def num_classes(self) -> int:
        return len(self.class_names)

    @property
    def num_outputs(self) -> int:
        """Numbers that a model gives for an example: classes, labels or targets."""
        return len(self.class_names) or len(self.target_names)

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "DataInfo":
        tuples = (
            "input_shape",
            "class_names",
            "feature_names",
            "target_names",
            "target_mean",
            "target_scale",
            "columns",
        )
        return cls(**{k: tuple(v) if k in tuples else v for k, v in values.items()})


def fingerprint(raw: RawData, decisions: str = "") -> str:
    """sha256 over all splits, examples and labels.

    Args:
        raw: The data.
        decisions: Of a table, what its columns were taken for.
    """
    digest = hashlib.sha256(decisions.encode())
    for split in (raw.train, raw.validation, raw.test):
        if split is not None:
            _add_split(digest, split)
    return digest.hexdigest()


def _add_split(digest: Any, split: Split) -> None:
    features, labels = split.features, split.labels
    digest.update(repr((features.shape, features.dtype.kind)).encode())
    if features.dtype == object:
        for text in features.reshape(-1):
            # The length keeps ("ab", "c") and ("a", "bc") apart.
            encoded = text.encode()
            digest.update(len(encoded).to_bytes(8, "little") + encoded)
    else:
        digest.update(np.ascontiguousarray(features).data)
    digest.update(np.ascontiguousarray(labels).data)


def describe(info: DataInfo) -> str:
    """What data is there, in a line."""
    sizes = ", ".join(f"{count:,} {name}" for name, count in info.num_examples.items())
    classes = f", {info.num_classes} classes" if info.class_names else ""
    if info.target_names:
        what = "target" if info.task == "regression" else "label"
        classes = f", {counted(len(info.target_names), what)}"
    # A text differs between Python versions, a file may change under its name.
    sha256 = f", sha256 {info.fingerprint}" if info.fingerprint else ""
    return f"data: {info.name} ({info.kind or 'tf.data'}): {sizes}{classes}{sha256}"
