"""Grain over ArrayRecord: the very files that kerascale has packed."""

import pathlib
import sys

import grain
import numpy as np

from .. import protocol
from ..streaming.cropping import cropped
from ..streaming.reader import BATCH, WORKERS, Reader


class _Pictures:
    """Records, and their labels, which kerascale keeps in a file of their own."""

    def __init__(self, folder):
        paths = sorted(map(str, pathlib.Path(folder).glob("*.array_record")))
        self._records = grain.sources.ArrayRecordDataSource(paths)
        self._labels = np.fromfile(pathlib.Path(folder) / "labels.bin", "<i8")

    def __len__(self):
        return len(self._records)

    def __getitem__(self, index):
        return self._records[index], self._labels[index]


class _Decode(grain.transforms.RandomMap):
    def random_map(self, element, rng):
        content, label = element
        return cropped(content, rng), label


def batches(folder):
    return (
        grain.MapDataset.source(_Pictures(folder))
        .seed(0)
        .shuffle()
        .repeat()
        .random_map(_Decode())
        .batch(BATCH, drop_remainder=True)
        .to_iter_dataset()
        .mp_prefetch(grain.multiprocessing.MultiprocessingOptions(WORKERS))
    )


if __name__ == "__main__":
    _, folder = sys.argv
    protocol.serve(Reader(lambda: batches(folder), ("grain", "array_record")), 1)
