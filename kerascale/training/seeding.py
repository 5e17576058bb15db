"""The seed of a run: set before its data is read, and before its model is made."""

from typing import Any

import keras


def seed(config: Any) -> None:
    """Sets the seeds of Python, NumPy and TensorFlow to a configuration's `seed`."""
    # Keras takes 32 bits of seed, for Python's and NumPy's generators.
    keras.utils.set_random_seed(getattr(config, "seed", 0) % 2**32)
