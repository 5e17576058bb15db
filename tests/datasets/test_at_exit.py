"""A script that ends while its batches are read ahead."""

import subprocess
import sys

_SCRIPT = """
import time
import tensorflow as tf
from kerascale.datasets.host_rows import HostRows

def read(rows):
    time.sleep(0.3)
    return [rows]

rows = HostRows(read, [tf.TensorSpec([], tf.int64)])
numbers = tf.data.Dataset.range(10**6).batch(4)
batches = iter(numbers.map(rows, num_parallel_calls=2).prefetch(4))
print(next(batches)[0].numpy())
"""


def test_it_ends_though_it_holds_the_iterator():
    # Else the iterator waits for a thread that waits for Python, which ends.
    done = subprocess.run(
        [sys.executable, "-c", _SCRIPT], capture_output=True, text=True, timeout=60
    )
    assert done.stdout == "[0 1 2 3]\n"
    assert done.returncode == 0
