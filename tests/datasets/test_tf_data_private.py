"""Guards of the private names of `tf.data` that tell how many examples there are.

If one fails, change `kerascale/datasets/tf_data_private.py`: find what tells it in this
release. Without them examples are counted when they are read.
"""

import pytest
import tensorflow as tf

from kerascale.datasets import tf_data_private

ROWS = tf.data.Dataset.range(7)


@pytest.mark.parametrize(
    ("made", "kind"),
    [
        (ROWS.batch(3), "Batch"),
        (ROWS.batch(3, num_parallel_calls=2), "ParallelBatch"),
        (ROWS.padded_batch(3), "PaddedBatch"),
        (ROWS.map(lambda x: x), "Map"),
        (ROWS.map(lambda x: x, num_parallel_calls=2), "ParallelMap"),
        (ROWS.cache(), "Cache"),
        (ROWS.shuffle(2), "Shuffle"),
        (ROWS.prefetch(1), "Prefetch"),
        (ROWS.with_options(tf.data.Options()), "Options"),
    ],
)
def test_what_a_dataset_reads_and_is(made, kind):
    """If it fails: `Dataset._inputs`, or the names of the classes, have changed."""
    assert tf_data_private.inputs_of(made) == [ROWS]
    assert tf_data_private.kind_of(made) == kind


def test_the_size_of_a_batch():
    """If it fails: `BatchDataset` keeps its size under another name."""
    assert tf_data_private.batch_size_of(ROWS.batch(3)) == 3
    assert tf_data_private.batch_size_of(ROWS.batch(3, num_parallel_calls=2)) == 3
    assert tf_data_private.batch_size_of(ROWS) is None
    assert tf_data_private.inputs_of(ROWS) == []
