"""Imports TensorFlow without the notes that it writes before its log level counts."""

import os
import sys
import tempfile


def import_tensorflow() -> None:
    """Imports TensorFlow; what it writes to standard error is shown on failure only.

    The notes (oneDNN is on, no CUDA driver) come from C++ before absl's logging is
    initialised, so `TF_CPP_MIN_LOG_LEVEL` does not silence them.
    """
    if "tensorflow" in sys.modules:
        return
    sys.stderr.flush()
    saved = os.dup(2)
    with tempfile.TemporaryFile() as notes:
        os.dup2(notes.fileno(), 2)
        try:
            import tensorflow as tf

            if sys.modules.get("keras", tf) is not None:  # `serve` does without.
                import keras  # noqa: F401

            tf.config.list_physical_devices()  # Looks for GPUs, with notes of its own.
        except BaseException:
            notes.seek(0)
            os.write(saved, notes.read())
            raise
        finally:
            os.dup2(saved, 2)
            os.close(saved)
