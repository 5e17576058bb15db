"""Data sets: where examples come from, and the order in which they are seen."""

from kerascale.datasets.bundle import Datasets, Stream, from_tf_data
from kerascale.datasets.info import DataInfo
from kerascale.datasets.loading import from_arrays, from_config, prepare
from kerascale.datasets.pipeline import Batches
from kerascale.datasets.raw import RawData, Split
from kerascale.datasets.reading import read

__all__ = [
    "Batches",
    "DataInfo",
    "Datasets",
    "RawData",
    "Split",
    "Stream",
    "from_arrays",
    "from_config",
    "from_tf_data",
    "prepare",
    "read",
]
