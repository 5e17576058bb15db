"""Faults of operations over the global batch."""

from ..fault import Fault

FAULTS = (
    Fault(
        "rows-of-replicas-are-gathered-in-reverse",
        "ops/across.py",
        "widths = [[here.offset, end]]",
        "widths = [[end, here.offset]]",
        ("test_across.py",),
    ),
    Fault(
        "the-mean-of-a-mask-counts-all-rows",
        "ops/across.py",
        "total, count = global_sum([total, tf.reduce_sum(weights)])",
        "total, count = global_sum([total, tf.cast(tf.size(weights), total.dtype)])",
        ("test_across.py",),
    ),
    Fault(
        "the-row-that-fills-an-empty-slice-counts",
        "ops/across.py",
        "rows = here.row_weights(tf.shape(values)[0], values.dtype)",
        "rows = tf.ones(tf.shape(values)[:1], values.dtype)",
        ("test_across.py",),
    ),
)
