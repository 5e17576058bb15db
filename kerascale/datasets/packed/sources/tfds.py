"""`tfds:NAME`: the examples of a TFDS data set, in their stored order."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from kerascale.config.tasks import TASKS
from kerascale.datasets.packed.rows import Facts, Rows, RowSource
from kerascale.datasets.packed.sources import tfds_rows, whole_tables
from kerascale.datasets.packed.sources.damage import Damage
from kerascale.datasets.packed.sources.pictures import Pictures
from kerascale.datasets.packed.sources.stamps import identity_of
from kerascale.datasets.sources import (
    tfds_examples,
    tfds_labels,
    tfds_prepared,
    tfds_source,
)
from kerascale.datasets.sources.image_headers import look
from kerascale.datasets.sources.tfds_examples import quiet_tfds
from kerascale.datasets.sources.tfds_features import Asked
from kerascale.datasets.sources.tfds_leaf import Leaf
from kerascale.datasets.tables import tfds_tables, told
from kerascale.errors import RefusedError
from kerascale.runtime.console import say

if TYPE_CHECKING:
    from kerascale.datasets.packed.sources import SourceOptions

_BATCH_BYTES = 8 * 2**20
_MOST_ROWS = 1024


def open_rows(rest: str, options: "SourceOptions") -> RowSource:
    """The examples of a data set; see `tfds_source.load_tfds`.

    Raises:
        RefusedError: If there is no such data set, or it cannot be prepared.
    """
    if told.file_of(options.csv_options.columns) is None:
        prepared = tfds_prepared.prepare(rest, _asked(options))
        is_whole = tfds_rows.is_whole(prepared)
    else:
        is_whole = True
    if is_whole:
        config = whole_tables.config_of(f"tfds:{rest}", options)
        raw = tfds_tables.load(config, whole_tables.KINDS, TASKS)
        if raw.kind == "table":
            return whole_tables.Whole(raw, options)
    return Tfds(rest, options)


def _asked(options: "SourceOptions") -> Asked:
    how = options.csv_options
    return Asked(options.label, how.columns, how.drop_columns)


class Tfds:
    """The examples of a data set that is prepared.

    Images of one size are flat rows, as in memory; others stay encoded, if they are
    not to be resized.

    Args:
        name: Without the prefix.
        options: `label`, `task`, `num_classes`, the columns, `image_size` and
            `skip_damaged_share` count.

    Raises:
        RefusedError: If there is no such data set, or it cannot be prepared.
    """

    def __init__(self, name: str, options: "SourceOptions") -> None:
        self._prepared = tfds_prepared.prepare(name, _asked(options))
        self._chosen = self._prepared.chosen
        self._options = options
        self.name = f"tfds:{self._prepared.name}"
        self.kind = self._chosen.kind
        info = self._prepared.builder.info
        self.encoding: str | None = "text" if self.kind == "text" else None
        self._rows_at_a_time = _MOST_ROWS
        if self.kind == "table":
            self.kind = "vector"
        if self.kind == "image":
            feature = self._chosen.features[0].feature
            is_one_size = None not in feature.shape or options.image_size is not None
            self.encoding = None if is_one_size else "image"
            if is_one_size:
                size = tfds_source.image_bytes(
                    self._prepared.name, feature, options.image_size
                )
                self._rows_at_a_time = max(1, min(_MOST_ROWS, _BATCH_BYTES // size))
            else:
                self._rows_at_a_time = 64
        splits = self._prepared.splits
        self.given_splits = tuple(splits)
        self._sizes = {split: info.splits[split].num_examples for split in splits}
        self.num_rows: int | None = sum(self._sizes.values())
        self.num_bytes: int | None = None
        self._damage = Damage(self.name, options.skip_damaged_share)
        self._pictures = Pictures()
        self._unlabelled: dict[str, int] = {}
        self._chosen.say_unread(self.name)
        self._decided = self._decide()

    def _decide(self) -> tfds_labels.Decided:
        """What the labels are for: where TFDS does not say, all of the training are
        read before."""
        leaves, options = self._chosen.labels, self._options
        tfds_labels.refuse_other_task(self.name, leaves, options.task)
        values = np.zeros(0, np.int64)
        if len(leaves) > 1 or leaves[0].form != "class":
            found = [
                tfds_labels.values_of(leaves, batch)
                for batch in self._batches("train", 0, leaves)
            ]
            values = np.concatenate(found)
            missing = int(tfds_labels.missing(values).sum())
            if missing:
                self._note_unlabelled("train", missing)
        return tfds_labels.decide(
            self.name, leaves, values, options.task, options.num_classes
        )

    def identity(self) -> dict[str, Any]:
        info = self._prepared.builder.info
        paths = [str(p) for s in self._sizes for p in info.splits[s].filepaths]
        return {"name": info.full_name, **identity_of(paths)}

    def read(self, state: Mapping[str, Any]) -> Iterator[Rows]:
        share = self._options.skip_damaged_share
        self._damage = Damage(self.name, share, state.get("damaged", ()))
        self._pictures = Pictures(state.get("pictures"))
        self._unlabelled = dict(state.get("unlabelled", {}))
        names = list(self._sizes)
        begin, first = state.get("split", names[0]), state.get("rows", 0)
        for name in names[names.index(begin) :]:
            behind = first if name == begin else 0
            for batch in self._batches(name, behind):
                labels = self._labels(name, behind, batch)
                count = len(labels)
                features, kept = self._as_rows(name, behind, batch)
                behind += count
                self._damage.check(self.num_rows)
                after = {
                    "split": name,
                    "rows": behind,
                    "damaged": self._damage.lines,
                    "pictures": self._pictures.to_json(),
                    "unlabelled": dict(self._unlabelled),
                }
                yield Rows(features, labels[kept], name, None, after)
            if behind != self._sizes[name]:
                found = ValueError(f"{behind} of {self._sizes[name]} examples")
                tfds_examples.refuse_damaged_files(self._prepared.builder, name, found)
                raise found

    def facts(self) -> Facts:
        self._damage.settle(self.num_rows)
        for split, count in self._unlabelled.items():
            say(
                f"{self.name}: the {split} split is not used: {count} of its "
                f"{self._sizes[split]} examples have no label"
            )
        told = self._decided
        return Facts(
            told.class_names,
            self._chosen.feature_names,
            skipped=self._damage.lines,
            unused_splits=tuple(self._unlabelled),
            image_shape=self._pictures.shape() if self.encoding == "image" else None,
            task=told.task if told.target_names else "classification",
            target_names=told.target_names,
        )

    def _labels(
        self, split: str, first: int, batch: Mapping[str, np.ndarray]
    ) -> np.ndarray:
        """Labels as `Rows` has them; NaN or -1 where a row has none."""
        values = tfds_labels.values_of(self._chosen.labels, batch)
        missing = tfds_labels.missing(values)
        if not missing.any():
            return self._decided.labels(values, split, first)
        self._note_unlabelled(split, int(missing.sum()))
        if self._decided.class_names:
            return np.full(len(values), -1, np.int64)
        return np.full((len(values), len(self._decided.target_names)), np.nan, "f4")

    def _batches(
        self, split: str, first: int, leaves: Sequence[Leaf] | None = None
    ) -> Iterator[dict[str, np.ndarray]]:
        builder = self._prepared.builder
        if first >= self._sizes[split]:
            return
        try:
            with quiet_tfds():
                found = tfds_examples.batches(
                    builder,
                    split,
                    self._chosen,
                    self._options.image_size if self.kind == "image" else None,
                    first=first,
                    batch_size=self._rows_at_a_time,
                    is_encoded=self.encoding == "image",
                    leaves=leaves,
                )
                batch = next(found, None)
            while batch is not None:
                yield batch
                batch = next(found, None)
        except GeneratorExit:
            raise
        except Exception as error:
            # TensorFlow, ArrayRecord and Parquet each have their own errors for it.
            tfds_examples.refuse_damaged_files(builder, split, error)
            raise

    def _as_rows(
        self, split: str, first: int, batch: Mapping[str, np.ndarray]
    ) -> tuple[np.ndarray, np.ndarray]:
        """The rows that can be used, and which these are."""
        if self._chosen.kind == "table":
            features = tfds_rows.numbers(self._chosen.features, batch)
        elif self.encoding == "image":
            features = batch[self._chosen.features[0].name]
        else:
            features = tfds_examples.features_of(self._chosen, batch)
        if self.kind == "vector":
            tfds_rows.refuse_gaps(self.name, features, split, first)
        kept = np.ones(len(features), bool)
        if self.encoding != "image":
            return features, kept
        for i, content in enumerate(features):
            image = look(content, f"{self.name}, {split} example {first + i}")
            if image.fault:
                self._damage.add(image.fault)
                kept[i] = False
            else:
                self._pictures.add(image.shape)
        return features[kept], kept

    def _note_unlabelled(self, split: str, count: int) -> None:
        if split == "train":
            raise RefusedError(
                f"{self.name}: expected a label for every training example. Received: "
                f"{count} or more of {self._sizes[split]} without one (-1, NaN or an "
                "empty text). Take another data set or config."
            )
        self._unlabelled[split] = self._unlabelled.get(split, 0) + count
