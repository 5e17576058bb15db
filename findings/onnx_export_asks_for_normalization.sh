#!/usr/bin/env bash
# keras 3.15.1, tensorflow 2.21.0 (CPU), tf2onnx 1.17.0, onnxruntime 1.32.0
#
# `model.export(..., format="onnx")` on TensorFlow converts a function, and variables of it
# become constants. Mean and deviation of an adapted `Normalization` are no variables but
# tensors that the layer holds: in the ONNX model they are inputs, and a client that sends
# the model's input alone is refused. By way of a SavedModel they become constants.
#
# Seen: a model with one input, exported, has three; asked with one it raises.

set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python=${FINDINGS_PYTHON:-}
if [[ -z $python ]]; then
  python3 -m venv venv
  python=$folder/venv/bin/python
  "$python" -m pip install -q --disable-pip-version-check \
    tensorflow==2.21.0 keras==3.15.1 numpy==2.4.6 tf2onnx==1.17.0 onnxruntime==1.32.0 \
    onnx==1.23.2
fi
export TF_CPP_MIN_LOG_LEVEL=3 KERAS_BACKEND=tensorflow

cat > program.py <<'PROGRAM'
import sys

import keras
import numpy as np
import onnxruntime

x = np.random.default_rng(0).normal(3, 2, (64, 4)).astype("float32")
normalization = keras.layers.Normalization()
normalization.adapt(x)
model = keras.Sequential([keras.Input((4,)), normalization, keras.layers.Dense(2)])
model(x)
model.export("model.onnx", format="onnx", verbose=False)
session = onnxruntime.InferenceSession("model.onnx")
names = [each.name for each in session.get_inputs()]
print(f"the model has {len(model.inputs)} input, exported {len(names)}: {names}")
try:
    session.run(None, {names[0]: x})
    refused = False
except ValueError as error:
    refused = True
    print(error)
if len(names) != 3 or not refused:
    sys.exit("CHANGED: expected 3 inputs, and a refusal of one")
PROGRAM
"$python" program.py
