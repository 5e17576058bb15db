#!/usr/bin/env bash
# keras 3.15.1, tensorflow 2.21.0 (CPU)
#
# On TensorFlow the gradient of an embedding has a row for each id that was looked up.
# Where an id comes twice, `global_clipnorm` and `clipnorm` take the norm of both rows, and
# not of their sum, which is the gradient: an update can be longer than it was clipped to.
#
# Seen: an id that is looked up twice, each with a gradient of 1. Clipped to a norm of 1 the
# only weight moves by 1.414. On JAX, and with an embedding written as a product, it moves
# by 1.

set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python=${FINDINGS_PYTHON:-}
if [[ -z $python ]]; then
  python3 -m venv venv
  python=$folder/venv/bin/python
  "$python" -m pip install -q --disable-pip-version-check \
    tensorflow==2.21.0 keras==3.15.1 numpy==2.4.6
fi
export TF_CPP_MIN_LOG_LEVEL=3 KERAS_BACKEND=tensorflow

cat > program.py <<'PROGRAM'
import sys

import keras
import numpy as np

inputs = keras.Input((2,), dtype="int32")
embedding = keras.layers.Embedding(1, 1, embeddings_initializer="zeros")
model = keras.Model(inputs, embedding(inputs))
model.compile(
    keras.optimizers.SGD(1.0, global_clipnorm=1.0),
    lambda y, outputs: keras.ops.sum(outputs, axis=(1, 2)),
)
model.fit(np.zeros((1, 2), "int32"), np.zeros((1, 2, 1)), verbose=0)
moved = -float(embedding.get_weights()[0][0, 0])
print(f"clipped to a norm of 1, the weight moved by {moved:.3f}")
if abs(moved - 2**0.5) > 1e-3:
    sys.exit("CHANGED: expected 1.414")
PROGRAM
"$python" program.py
