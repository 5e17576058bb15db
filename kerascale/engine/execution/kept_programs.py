"""What XLA has compiled, for the next process."""

import os

import tensorflow as tf

from kerascale.engine.compat import tensorflow_private
from kerascale.runtime import xla_cache

# A program is one of TensorFlow's build.
_FACTS = (tf.version.VERSION, tf.version.GIT_VERSION)


def fetch() -> None:
    """Before anything is compiled: see `kerascale.runtime.xla_cache`."""
    xla_cache.fetch(_FACTS)


def stable_names() -> None:
    """Before a program is traced: the next process finds what is compiled of it."""
    if xla_cache.is_announced(os.environ):
        tensorflow_private.number_names_anew()


def keep() -> None:
    """After something may have been compiled: what is killed later has it then."""
    xla_cache.keep(_FACTS)
