"""Where the rows of a packed data set came from: their files, or their texts."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from kerascale.datasets.packed.opened import Packed
from kerascale.datasets.packed.pictures import files_of
from kerascale.datasets.packed.records import Records
from kerascale.datasets.packed.texts import texts_of


def origins_of(packed: Packed, rows: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Split -> the origin of each example, as in `Datasets.origins`.

    Args:
        packed: The data set.
        rows: Split -> its rows.
    """
    if packed.manifest.encoding == "text":
        records = Records(packed.folder, packed.manifest.shards)
        return {split: _Texts(records, own) for split, own in rows.items()}
    files = files_of(packed.folder)
    if files is None:
        return {}
    paths = np.array(files, dtype=object)
    return {split: paths[own] for split, own in rows.items()}


class _Texts:
    """The texts of a split, read when they are asked for."""

    def __init__(self, records: Records, rows: np.ndarray) -> None:
        self._records = records
        self._rows = rows

    def __getitem__(self, number: int) -> str:
        return texts_of(self._records, self._rows[number : number + 1])[0]
