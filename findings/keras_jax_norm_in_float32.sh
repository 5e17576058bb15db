#!/usr/bin/env bash
# keras 3.15.1, jax 0.10.2, tensorflow 2.21.0
#
# On the JAX backend a `BatchNormalization` of dtype float64 computes in float32, with
# `jax_enable_x64` on: inputs are cast to `result_type(float64, float32)`, which Keras
# says is float32 there. The output is float64 again, and nothing is said. A `Dense` of
# float64 beside it has all its digits, and so has the layer on TensorFlow. Whoever looks
# for the cause of a difference in float64 finds float32's rounding.
#
# Seen: largest error of values of about 1, normalization and Dense: 1e-8 and more, and
# below 1e-14, on JAX; both below 1e-14 on TensorFlow.

set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python=${FINDINGS_PYTHON:-}
if [[ -z $python ]]; then
  python3 -m venv venv
  python=$folder/venv/bin/python
  "$python" -m pip install -q --disable-pip-version-check \
    keras==3.15.1 jax==0.10.2 tensorflow==2.21.0
fi

cat > program.py <<'PROGRAM'
import keras
import numpy as np

x = np.random.default_rng(0).normal(size=(64, 8))
norm = keras.layers.BatchNormalization(dtype="float64", epsilon=1e-3)
dense = keras.layers.Dense(8, dtype="float64")
dense.build(x.shape)
kernel = np.random.default_rng(1).normal(size=(8, 8))
dense.set_weights([kernel, np.zeros(8)])

found = np.asarray(norm(x, training=True))
expected = (x - x.mean(0)) / np.sqrt(x.var(0) + 1e-3)
assert found.dtype == np.float64
print(abs(found - expected).max(), abs(np.asarray(dense(x)) - x @ kernel).max())
PROGRAM

export TF_CPP_MIN_LOG_LEVEL=3 JAX_ENABLE_X64=1 JAX_PLATFORMS=cpu
for backend in jax tensorflow; do
  KERAS_BACKEND=$backend "$python" program.py 2> /dev/null | tail -1 > "$backend"
  echo "$backend, largest error of BatchNormalization and Dense: $(cat "$backend")"
done
"$python" - <<'CHECK'
import sys

norm, dense = map(float, open("jax").read().split())
on_tensorflow = max(map(float, open("tensorflow").read().split()))
if not (norm > 1e-9 and dense < 1e-13 and on_tensorflow < 1e-13):
    sys.exit("CHANGED: expected float32's rounding of the normalization on JAX alone")
CHECK
