"""How many examples the batches of a user's own `tf.data.Dataset` hold."""

from typing import Any

import numpy as np
import tensorflow as tf

from kerascale.datasets import at_exit, nests, tf_data_private

# What gives as many batches as it reads, as a rule with as many examples.
_PASSING = ("Cache", "Map", "Options", "Prefetch", "Shuffle")


class SeenRows:
    """Examples of each batch, as they were read.

    Args:
        num_batches: How many batches a pass has.
    """

    def __init__(self, num_batches: int) -> None:
        self._rows = np.full(num_batches, -1)

    @property
    def are_all_seen(self) -> bool:
        return bool((self._rows >= 0).all())

    @property
    def total(self) -> int:
        """Examples of all batches that were seen."""
        return int(self._rows[self._rows >= 0].sum())

    def noted(self, batches: tf.data.Dataset) -> tf.data.Dataset:
        """The same batches; each pass notes how many examples they have."""

        def note(place: np.ndarray, rows: np.ndarray) -> None:
            self._rows[int(place)] = int(rows)

        def pass_on(place: tf.Tensor, batch: Any) -> Any:
            tf.numpy_function(at_exit.awaited(note), [place, rows_of(batch)], [])
            return batch

        return batches.enumerate().map(pass_on)


def rows_of(batch: Any) -> tf.Tensor:
    """How many examples a batch has; an integer scalar."""
    first = nests.flat(batch)[0]
    if isinstance(first, tf.RaggedTensor):
        return first.nrows()
    if isinstance(first, tf.SparseTensor):
        return first.dense_shape[0]
    return tf.shape(first, out_type=tf.int64)[0]


def planned(batches: tf.data.Dataset) -> int | None:
    """How many examples there are, by what was put into batches; None: not known.

    A function that changes how many examples a batch has is not seen: the batches
    that are read tell of it.
    """
    count = int(batches.cardinality())
    static = nests.flat(batches.element_spec)[0].shape[:1]
    if static.rank == 1 and static[0] is not None:
        return count * static[0]
    while True:
        inputs = tf_data_private.inputs_of(batches)
        if len(inputs) != 1:
            return None
        kind = tf_data_private.kind_of(batches)
        if "Padded" not in kind and kind.endswith("Batch"):
            examples = int(inputs[0].cardinality())
            size = tf_data_private.batch_size_of(batches)
            # Not if a remainder is dropped, or the number was only asserted.
            fits = size and examples > 0 and -(-examples // size) == count
            return examples if fits else None
        same = int(inputs[0].cardinality()) == count
        if not same or not any(part in kind for part in _PASSING):
            return None
        batches = inputs[0]
