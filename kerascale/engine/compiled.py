"""What XLA has compiled, from one process to the next: see `kerascale.programs`."""

import tensorflow as tf

from kerascale import programs

# A program is one of TensorFlow's build.
_FACTS = (tf.version.VERSION, tf.version.GIT_VERSION)


def fetch() -> None:
    """Before anything is compiled."""
    programs.fetch(_FACTS)


def keep() -> None:
    """After something may have been compiled: what is killed later has it then."""
    programs.keep(_FACTS)
