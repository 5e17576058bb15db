"""What is evaluated comes as it is: in its own order, without what training adds."""

import numpy as np

from kerascale.datasets.gathers import gather_arrays
from kerascale.datasets.pipeline import Batches


def _all(batches):
    return np.concatenate([x.numpy() for x, _ in batches.dataset()])


def test_an_evaluation_has_the_examples_as_they_are():
    x = np.arange(7, dtype="float32")
    batches = Batches(
        gather_arrays(x + 100, x),  # What training adds.
        len(x),
        batch_size=3,
        seed=1,
        shuffle=True,
        plain_gather=gather_arrays(x, x),
    )
    assert not np.array_equal(_all(batches), x + 100)
    np.testing.assert_array_equal(_all(batches.for_evaluation()), x)
