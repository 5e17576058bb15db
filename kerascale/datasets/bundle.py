"""`Datasets`: what a recipe's `make_datasets` returns."""

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal

import keras
import numpy as np
import tensorflow as tf

from kerascale.datasets import rows
from kerascale.datasets.info import DataInfo
from kerascale.datasets.packed.block_check import BlockCheck
from kerascale.datasets.source import Source
from kerascale.datasets.stream import Stream
from kerascale.datasets.target_scale import TargetScale
from kerascale.errors import RefusedError


@dataclasses.dataclass(frozen=True)
class Datasets:
    """The three splits of a data set, and what is known of it.

    Args:
        info: Shapes, class names, sizes.
        train: Batches to train on.
        validation: Batches that early stopping and the choice of the best weights
            see; or None.
        test: Held-out batches for the final evaluation; or None.
        vectorizer: The layer that made ids out of strings, or numbers of the cells of
            a table, to be put in front of the trained model when it is served; or None.
        mean: Mean of the training features: a scalar for images, else one number
            per feature; or None where there is nothing to normalise.
        variance: Variance of the training features, like `mean`.
        origins: Split -> the file of each example, or its text as it was written; see
            `kerascale.datasets.origins`.
        columns: Of a table: what each column is and holds, as
            `kerascale.datasets.tables.features.TableFeatures` takes it.
        examples: Of a table: some rows as they stand in the file, strings by the names
            of their columns' inputs; None: see the splits.
        pack: How `--pack` names where rows are read: `always` if they were packed into
            the cache folder by themselves, `in-place` if they stay in the files that
            TFDS prepared; None: as the configuration says.
        block_check: Compares packed files with their checksums beside the steps; or
            None.
        divided_by: What decided which examples are held out: `folds`, `fold`, `group`
            and `time` as the configuration had them; None: it was not asked.
    """

    info: DataInfo
    train: Source
    validation: Source | None = None
    test: Source | None = None
    vectorizer: keras.layers.Layer | None = None
    mean: np.ndarray | None = None
    variance: np.ndarray | None = None
    origins: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)
    columns: tuple[dict[str, Any], ...] = ()
    examples: Mapping[str, Any] | None = None
    pack: Literal["always", "in-place"] | None = None
    block_check: BlockCheck | None = None
    divided_by: Mapping[str, Any] | None = None

    @property
    def steps_per_epoch(self) -> int:
        return self.train.steps_per_epoch

    @property
    def num_examples(self) -> dict[str, int]:
        """Split -> examples, as far as they are known by now."""
        sources = {name: getattr(self, name) for name in self.info.num_examples}
        return {name: source.num_examples for name, source in sources.items()}

    def normalization(
        self, *, as_sequence: bool = False, quantiles: bool = False
    ) -> keras.layers.Layer | None:
        """A layer that gives the training features mean 0 and variance 1.

        Args:
            as_sequence: Whether a table comes as a sequence of its columns, for models
                that read sequences; other data is as it is.
            quantiles: Whether rows of numbers come as numbers of a table do: their
                deviations, and their places among the quantiles of the training rows.

        Raises:
            RefusedError: If there are to be quantiles of what are no rows of numbers.
        """
        if quantiles:
            from kerascale.datasets.tables.numbers import features_of_numbers

            return features_of_numbers(self.info, self.train)
        if self.columns:
            from kerascale.datasets.tables.fitting import features_of

            return features_of(self.columns, as_sequence=as_sequence)
        if self.mean is None:
            return None
        axis = -1 if self.mean.ndim else None
        return keras.layers.Normalization(
            axis=axis, mean=self.mean, variance=self.variance, name="normalization"
        )

    def output_options(self) -> dict[str, Any]:
        """The arguments of a `kerascale.models` model that its task asks for."""
        if self.info.task == "ordinal":
            return {"ordinal": True}
        if self.info.task == "multilabel":
            return {"classifier_activation": "sigmoid"}
        if self.info.task != "regression":
            return {}
        wide = keras.config.floatx() == "float64"
        scaling = TargetScale(
            self.info.target_mean,
            self.info.target_scale,
            "log" if self.info.target_loss == "poisson" else "identity",
            dtype="float64" if wide else "float32",
            name="target_scale",
        )
        return {"classifier_activation": None, "output_scaling": scaling}


def from_tf_data(
    train: tf.data.Dataset,
    validation: tf.data.Dataset | None = None,
    test: tf.data.Dataset | None = None,
    *,
    class_names: tuple[str, ...] = (),
    name: str = "tf.data",
) -> Datasets:
    """Datasets out of a user's own `tf.data` pipelines.

    Args:
        train: Batches (x, y). It must be finite and of known cardinality.
        validation: Like `train`; or None.
        test: Like `train`; or None.
        class_names: The name of each class, by label index.
        name: What to call the data in reports.

    Raises:
        RefusedError: Naming each dataset that is empty, infinite or of unknown
            cardinality.
    """
    given = {"train": train, "validation": validation, "test": test}
    streams: dict[str, Stream | None] = {}
    problems = []
    for split, batches in given.items():
        streams[split] = None
        if batches is None:
            continue
        if not isinstance(batches, tf.data.Dataset):
            problems.append(
                f"{split}: expected a tf.data.Dataset of batches (x, y). Received: an "
                f"object of type {type(batches).__name__}"
            )
            continue
        cardinality = int(batches.cardinality())
        if cardinality < 1:
            what = {0: "empty", -1: "infinite", -2: "of unknown cardinality"}
            problems.append(
                f"{split}: expected a finite, non-empty tf.data.Dataset of known "
                f"cardinality. Received: one that is {what[cardinality]}. Apply "
                "tf.data.experimental.assert_cardinality(number_of_batches), or "
                ".take(number_of_batches)"
            )
        else:
            streams[split] = Stream(
                batches,
                _batch_size(batches),
                planned=rows.planned(batches),
                seen=rows.SeenRows(cardinality),
            )
    if problems:
        raise RefusedError(problems, heading=name)
    info = DataInfo(
        name=name,
        kind=None,
        input_shape=_input_shape(train.element_spec),
        class_names=tuple(class_names),
        num_examples={s: v.num_examples for s, v in streams.items() if v is not None},
    )
    return Datasets(info, **streams)


def _batch_size(batches: tf.data.Dataset) -> int:
    static = tf.nest.flatten(batches.element_spec)[0].shape[0]
    if static is not None:
        return static
    return int(rows.rows_of(next(iter(batches))))


def _input_shape(element_spec: Any) -> tuple[int | None, ...]:
    features = element_spec[0] if isinstance(element_spec, tuple) else element_spec
    if isinstance(features, tf.TensorSpec):
        return tuple(features.shape[1:])
    return ()
