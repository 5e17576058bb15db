"""`tfds:NAME`: the examples of a TFDS data set, in their stored order."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from kerascale.datasets.packed.rows import Facts, Rows, RowSource
from kerascale.datasets.packed.sources.damage import Damage
from kerascale.datasets.packed.sources.pictures import Pictures
from kerascale.datasets.packed.sources.stamps import identity_of
from kerascale.datasets.sources import tfds_examples, tfds_source
from kerascale.datasets.sources.image_headers import look
from kerascale.datasets.sources.tfds_examples import quiet_tfds
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
    return Tfds(rest, options)


class Tfds:
    """The examples of a data set that is prepared.

    Images of one size are flat rows, as in memory; others stay encoded, if they are
    not to be resized.

    Args:
        name: Without the prefix.
        options: `image_size` and `skip_damaged_share` count.

    Raises:
        RefusedError: If there is no such data set, or it cannot be prepared.
    """

    def __init__(self, name: str, options: "SourceOptions") -> None:
        self._prepared = tfds_source.prepare(name)
        self._options = options
        self.name = f"tfds:{self._prepared.name}"
        self.kind = self._prepared.kind
        info = self._prepared.builder.info
        feature, self._label = self._prepared.keys
        self.encoding: str | None = "text"
        self._rows_at_a_time = _MOST_ROWS
        if self.kind == "image":
            shape = info.features[feature].shape
            is_one_size = None not in shape or options.image_size is not None
            self.encoding = None if is_one_size else "image"
            if is_one_size:
                size = tfds_source.image_bytes(
                    self._prepared.name, info.features[feature], options.image_size
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
            for features, labels in self._batches(name, behind):
                count = len(features)
                missing = int((labels < 0).sum())
                if missing:
                    self._note_unlabelled(name, missing)
                features, kept = self._as_rows(name, behind, features)
                behind += count
                self._damage.check(self.num_rows)
                after = {
                    "split": name,
                    "rows": behind,
                    "damaged": self._damage.lines,
                    "pictures": self._pictures.to_json(),
                    "unlabelled": dict(self._unlabelled),
                }
                yield Rows(features, labels[kept].astype(np.int64), name, None, after)
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
        return Facts(
            tuple(self._prepared.builder.info.features[self._label].names),
            skipped=self._damage.lines,
            unused_splits=tuple(self._unlabelled),
            image_shape=self._pictures.shape() if self.encoding == "image" else None,
        )

    def _batches(self, split: str, first: int) -> Iterator[tuple[Any, Any]]:
        builder = self._prepared.builder
        if first >= self._sizes[split]:
            return
        try:
            with quiet_tfds():
                found = tfds_examples.batches(
                    builder,
                    split,
                    self._prepared.keys,
                    self._options.image_size if self.kind == "image" else None,
                    first=first,
                    batch_size=self._rows_at_a_time,
                    is_encoded=self.encoding == "image",
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
        self, split: str, first: int, features: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """The rows that can be used, and which these are."""
        kept = np.ones(len(features), bool)
        if self.encoding == "text":
            texts = [text.decode("utf-8", "replace") for text in features]
            rows = np.empty(len(texts), object)
            rows[:] = texts
            return rows, kept
        if self.encoding is None:
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
                f"{count} or more of {self._sizes[split]} without one (-1). Take "
                "another data set or config."
            )
        self._unlabelled[split] = self._unlabelled.get(split, 0) + count
