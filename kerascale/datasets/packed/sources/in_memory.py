"""A data set that is in memory, as rows to pack."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from kerascale.datasets import info
from kerascale.datasets.packed import layout
from kerascale.datasets.packed.rows import Facts, Rows
from kerascale.datasets.raw import RawData, Split

_BATCH_BYTES = 8 * 2**20
_MOST_ROWS = 2**16


class InMemory:
    """The rows of a `RawData`: training, validation, test, in their order.

    Args:
        raw: The data; no corpus.
    """

    def __init__(self, raw: RawData) -> None:
        self._raw = raw
        self.name = raw.name
        self.kind = raw.kind
        self.encoding = "text" if raw.kind == "text" else None
        named = {name: getattr(raw, name) for name in layout.SPLITS}
        self._splits: dict[str, Split] = {k: v for k, v in named.items() if v}
        self.given_splits = tuple(self._splits)
        self.num_rows = sum(map(len, self._splits.values()))
        self.num_bytes = None

    def identity(self) -> dict[str, Any]:
        return {"sha256": info.fingerprint(self._raw)}

    def read(self, state: Mapping[str, Any]) -> Iterator[Rows]:
        first_split, first_row = state.get("split", "train"), state.get("rows", 0)
        names = list(self._splits)
        for name in names[names.index(first_split) :]:
            split = self._splits[name]
            step = min(_MOST_ROWS, max(1, _BATCH_BYTES // _bytes_of_a_row(split)))
            start = first_row if name == first_split else 0
            for row in range(start, len(split), step):
                part = slice(row, row + step)
                files = None if split.files is None else split.files[part].tolist()
                yield Rows(
                    split.features[part],
                    split.labels[part],
                    name,
                    files,
                    {"split": name, "rows": min(row + step, len(split))},
                )

    def facts(self) -> Facts:
        return facts_of(self._raw)


def facts_of(raw: RawData) -> Facts:
    """What is known of data that is in memory, or whose labels are."""
    if not raw.target_names:
        return Facts(raw.class_names, raw.feature_names)
    return Facts((), raw.feature_names, task=raw.task, target_names=raw.target_names)


def _bytes_of_a_row(split: Split) -> int:
    if split.features.dtype == np.dtype(object):
        return max(1, sum(map(len, split.features[:100])) // len(split.features[:100]))
    return max(1, split.features[:1].nbytes)
