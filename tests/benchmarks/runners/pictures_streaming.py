"""MosaicML Streaming over MDS files that lie here, with PyTorch's DataLoader."""

import sys

import numpy as np
import torch

# The torchvision of PyPI is one for CUDA: beside a PyTorch for CPUs it asks for two
# operators that it cannot load. Streaming imports it, for data sets that are not used.
_LIBRARY = torch.library.Library("torchvision", "FRAGMENT")
for _name in ("nms", "qnms"):
    if not hasattr(torch.ops.torchvision, _name):
        _LIBRARY.define(f"{_name}(Tensor a, Tensor b, float c) -> Tensor")

from streaming import MDSWriter, StreamingDataset  # noqa: E402
from streaming.base.util import clean_stale_shared_memory  # noqa: E402

from .. import protocol  # noqa: E402
from ..streaming import made  # noqa: E402
from ..streaming.cropping import cropped  # noqa: E402
from ..streaming.reader import BATCH, WORKERS, Reader  # noqa: E402


class _Pictures(StreamingDataset):
    _random = None

    def __getitem__(self, index):
        if self._random is None:
            self._random = np.random.default_rng(torch.initial_seed())
        sample = super().__getitem__(index)
        return torch.from_numpy(cropped(sample["image"], self._random)), sample["label"]


def batches(folder):
    clean_stale_shared_memory()
    dataset = _Pictures(local=folder, shuffle=True, batch_size=BATCH)
    loader = torch.utils.data.DataLoader(
        dataset,
        batch_size=BATCH,
        num_workers=WORKERS,
        prefetch_factor=4,
        persistent_workers=True,
        drop_last=True,
    )
    while True:
        yield from loader


def write(pictures, count, folder):
    """Makes the files, which only this library can."""
    with MDSWriter(out=folder, columns={"image": "bytes", "label": "int"}) as writer:
        for path, label in made.shuffled(pictures, count):
            writer.write({"image": path.read_bytes(), "label": label})


if __name__ == "__main__":
    if sys.argv[1] == "--write":
        import pathlib

        write(pathlib.Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
    else:
        _, folder = sys.argv
        reader = Reader(lambda: batches(folder), ("mosaicml-streaming", "torch"))
        protocol.serve(reader, 1)
