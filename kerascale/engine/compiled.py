"""What XLA has compiled, for the next process."""

import tensorflow as tf

from kerascale import programs

# A program is one of TensorFlow's build.
_FACTS = (tf.version.VERSION, tf.version.GIT_VERSION)


def fetch() -> None:
    """Before anything is compiled: see `kerascale.programs`."""
    programs.fetch(_FACTS)


def keep() -> None:
    """After something may have been compiled: what is killed later has it then."""
    programs.keep(_FACTS)
