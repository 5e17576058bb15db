#!/usr/bin/env bash
# keras 3.15.1, tensorflow 2.21.0 (CPU)
#
# `keras.losses.Huber(delta=2.0)` leaves `delta` out of its configuration. A model that
# was compiled with it and saved as `.keras` is loaded with delta 1, silently: it trains
# and evaluates with another loss.
#
# Seen: an error of 10 costs 18.0 (2 * 10 - 2) before saving, 9.5 (10 - 0.5) after.

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

inputs = keras.Input((1,))
outputs = keras.layers.Dense(1, kernel_initializer="ones")(inputs)
model = keras.Model(inputs, outputs)
model.compile("sgd", keras.losses.Huber(delta=2.0))
model.save("model.keras")
loaded = keras.models.load_model("model.keras")
x, y = np.full((4, 1), 10.0), np.zeros((4, 1))
before = model.evaluate(x, y, verbose=0)
after = loaded.evaluate(x, y, verbose=0)
print(f"loss before saving {before}, after loading {after}")
if (before, after) != (18.0, 9.5):
    sys.exit("CHANGED: expected 18.0 and 9.5")
PROGRAM
"$python" program.py
