#!/usr/bin/env bash
# tensorflow 2.21.0 (CPU), its TensorFlow Lite converter and interpreter
#
# `tf.nn.relu(tf.matmul(x, tf.cast(kernel, tf.float32)))` with an int8 constant for a
# kernel is converted without the ReLU: the converted model answers with negative
# numbers. There is no warning. It happens at 64 x 64 and above, with no bias or a zero
# one; with a kernel of 8 x 4, with another bias, or with a factor behind the product,
# it is right.
#
# Seen: 64 x 64: smallest output -1434.4 where 0.0 is right; 8 x 4, or with `* 0.01`:
# 0.0.

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
export TF_CPP_MIN_LOG_LEVEL=3

cat > program.py <<'PROGRAM'
import sys
import warnings

import numpy as np
import tensorflow as tf

warnings.simplefilter("ignore")  # The interpreter's own deprecation.
random = np.random.default_rng(0)


def smallest(inputs, units, factor):
    kernel = tf.constant(random.integers(-127, 128, (inputs, units)), tf.int8)
    spec = tf.TensorSpec((2, inputs), tf.float32)

    @tf.function(input_signature=[spec])
    def answer(x):
        product = tf.matmul(x, tf.cast(kernel, tf.float32))
        return tf.nn.relu(product if factor is None else product * factor)

    concrete = answer.get_concrete_function()
    converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete], answer)
    interpreter = tf.lite.Interpreter(model_content=converter.convert())
    interpreter.allocate_tensors()
    x = random.normal(size=(2, inputs)).astype("float32")
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], x)
    interpreter.invoke()
    found = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    return float(found.min()), float(answer(x).numpy().min())


dropped, right = smallest(64, 64, None)
small, scaled = smallest(8, 4, None)[0], smallest(64, 64, 0.01)[0]
print(f"64 x 64: smallest output {dropped:.1f} converted, {right:.1f} in TensorFlow")
print(f"8 x 4: {small:.1f}; 64 x 64 with a factor: {scaled:.1f}")
if not (dropped < -100 and right == small == scaled == 0):
    sys.exit("CHANGED: expected negative outputs of the plain 64 x 64 product only")
PROGRAM
"$python" program.py
