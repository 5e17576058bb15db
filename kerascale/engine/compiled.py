"""What XLA has compiled, for the next process; and which kernels TensorFlow takes."""

import functools
import os

import tensorflow as tf

from kerascale import process, programs
from kerascale.console import say
from kerascale.engine import private_keras

# A program is one of TensorFlow's build.
_FACTS = (tf.version.VERSION, tf.version.GIT_VERSION)


def fetch() -> None:
    """Before anything is compiled: see `kerascale.programs`."""
    programs.fetch(_FACTS)


def keep() -> None:
    """After something may have been compiled: what is killed later has it then."""
    programs.keep(_FACTS)


@functools.cache
def tell() -> None:
    """Says, once, if TensorFlow was imported too early for its faster kernels."""
    if (
        private_keras.onednn() == "off"
        and process.ONEDNN not in os.environ
        and process.gains_by_onednn(process.cpu_flags())
        and not process.has_gpu()
    ):
        say(
            "note: TensorFlow's oneDNN kernels, which are faster on this processor, "
            "are off, because it was imported before kerascale. Import kerascale "
            f"first, or set {process.ONEDNN}=1."
        )
