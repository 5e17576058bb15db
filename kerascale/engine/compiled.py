"""What XLA has compiled, for the next process."""

import os

import tensorflow as tf

from kerascale import programs
from kerascale.engine import private_keras

# A program is one of TensorFlow's build.
_FACTS = (tf.version.VERSION, tf.version.GIT_VERSION)


def fetch() -> None:
    """Before anything is compiled: see `kerascale.programs`."""
    programs.fetch(_FACTS)


def stable_names() -> None:
    """Before a program is traced: the next process finds what is compiled of it."""
    if programs.is_announced(os.environ):
        private_keras.number_names_anew()


def keep() -> None:
    """After something may have been compiled: what is killed later has it then."""
    programs.keep(_FACTS)
