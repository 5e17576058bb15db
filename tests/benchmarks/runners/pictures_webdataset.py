"""WebDataset over tar files, with PyTorch's DataLoader."""

import pathlib
import sys

import numpy as np
import torch
import webdataset as wds

from .. import protocol
from ..streaming.cropping import cropped
from ..streaming.reader import BATCH, WORKERS, Reader

_BUFFER = 1000
_random = None


def _decoded(sample):
    global _random
    if _random is None:  # One in each worker.
        _random = np.random.default_rng(torch.initial_seed())
    # A tensor goes to the other process through shared memory, an array does not.
    return torch.from_numpy(cropped(sample["jpg"], _random)), int(sample["cls"])


def batches(folder):
    paths = sorted(map(str, pathlib.Path(folder).glob("*.tar")))
    dataset = (
        wds.WebDataset(paths, shardshuffle=len(paths))
        .shuffle(_BUFFER)
        .map(_decoded)
        .batched(BATCH, partial=False)
        .repeat()
    )
    return wds.WebLoader(
        dataset, batch_size=None, num_workers=WORKERS, prefetch_factor=4
    )


if __name__ == "__main__":
    _, folder = sys.argv
    protocol.serve(Reader(lambda: batches(folder), ("webdataset", "torch")), 1)
