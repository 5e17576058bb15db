"""How long the steps of a training waited for their data.

Between two stages of `tf.data` TensorFlow itself reads the clock, at no cost to speak
of. In a graph it has no clock where operations are deterministic.
"""

import functools
import threading
from typing import Any

import tensorflow as tf

_TAG = "kerascale-wait"
_MICROSECONDS = 1e-6

_lock = threading.Lock()
# Of steps that are no pipeline's.
_added = 0.0
# Whether anybody will ask: a `fit` of some milliseconds is not to pay for it.
_is_asked = False


def ask() -> None:
    """Waits of the datasets that are clocked from now on are counted."""
    global _is_asked
    _is_asked = True


def clocked(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """The same dataset; how long its reader waits is counted, if anybody asks."""
    if not _is_asked:
        return dataset
    spec = dataset.element_spec
    specs = [s for s in tf.nest.flatten(spec) if not _is_none(s)]
    if not all(isinstance(s, tf.TensorSpec) for s in specs):
        return dataset  # Sparse or ragged batches: of these it is not known.
    known = {
        "output_types": [s.dtype for s in specs],
        "output_shapes": [s.shape for s in specs],
    }
    variant = tf.raw_ops.LatencyStatsDataset(
        input_dataset=tf.data.experimental.to_variant(dataset), tag=_TAG, **known
    )
    variant = tf.raw_ops.SetStatsAggregatorDataset(
        input_dataset=variant,
        stats_aggregator=_aggregator(),
        tag="",
        counter_prefix="",
        **known,
    )
    made = tf.data.experimental.from_variant(variant, spec)
    return made.with_options(dataset.options())


def add(seconds: float) -> None:
    """Counts a wait that was not one for a dataset."""
    global _added
    with _lock:
        _added += seconds


def seconds() -> float:
    """How long steps of this process have waited, of all trainings together."""
    ask()
    written = tf.raw_ops.StatsAggregatorSummary(iterator=_aggregator()).numpy()
    summary = tf.compat.v1.Summary.FromString(written)
    found = sum(v.histo.sum for v in summary.value if v.tag.endswith(_TAG))
    with _lock:
        return found * _MICROSECONDS + _added


def _is_none(spec: Any) -> bool:
    """Whether it stands for a member that is absent."""
    return type(spec).__name__ == "NoneTensorSpec"


@functools.cache
def _aggregator() -> tf.Tensor:
    with tf.init_scope(), tf.device("CPU:0"):
        return tf.raw_ops.StatsAggregatorHandle(shared_name=_TAG, container="")
