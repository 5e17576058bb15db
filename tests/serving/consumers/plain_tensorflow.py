"""Asks SavedModels in TensorFlow alone."""

import sys

sys.modules["keras"] = sys.modules["kerascale"] = None

import pathlib  # noqa: E402

import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402

for folder in map(pathlib.Path, sys.argv[1:]):
    serve = tf.saved_model.load(str(folder / "saved_model")).signatures["serve"]
    with np.load(folder / "inputs.npz") as inputs:
        answers = serve(**{name: tf.constant(inputs[name]) for name in inputs.files})
    np.save(folder / "tensorflow.npy", answers["probabilities"].numpy())
assert not [name for name in sys.modules if name.startswith("keras.src")]
