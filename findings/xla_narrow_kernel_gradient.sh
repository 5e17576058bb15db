#!/usr/bin/env bash
# tensorflow 2.21.0 (CPU)
#
# Compiled by XLA for a CPU, the gradient of a dense layer's kernel with few units
# (`tf.matmul(x, dy, transpose_a=True)`, as the tape writes it) takes several times as
# long as the same numbers computed the other way around (`tf.matmul(dy, x,
# transpose_a=True)`, then transposed by the host). Without XLA the first is as fast as
# it can be: `jit_compile=True` makes it slower by that factor.
#
# Seen (two cores, medians of 30): 2,048 rows, 2,048 inputs, 10 units: 27.6 ms with XLA,
# 2.7 ms turned around with XLA, 2.9 ms without XLA. A ratio below 1.5 counts as
# changed.

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
import time

import numpy as np
import tensorflow as tf

random = np.random.default_rng(0)
x = tf.constant(random.normal(size=(2048, 2048)), tf.float32)
upstream = tf.constant(random.normal(size=(2048, 10)), tf.float32)


def as_traced(x, upstream):
    kernel = tf.zeros((2048, 10))
    with tf.GradientTape() as tape:
        tape.watch(kernel)
        outputs = tf.matmul(x, kernel)
    return tape.gradient(outputs, kernel, output_gradients=upstream)


def turned(x, upstream):
    return tf.matmul(upstream, x, transpose_a=True)


functions = [
    tf.function(as_traced, jit_compile=True),
    tf.function(turned, jit_compile=True),
    tf.function(as_traced),
]
times = [[] for _ in functions]
results = [function(x, upstream).numpy() for function in functions]
for _ in range(30):
    for function, seconds in zip(functions, times):
        begin = time.perf_counter()
        function(x, upstream).numpy()
        seconds.append(time.perf_counter() - begin)
xla, around, plain = (1000 * np.median(seconds) for seconds in times)
same = np.allclose(results[0], results[1].T, atol=1e-2)
print(f"XLA {xla:.1f} ms, turned around {around:.1f} ms, without XLA {plain:.1f} ms")
print(f"the same numbers: {same}")
if not same or xla / around < 1.5 or xla / plain < 1.5:
    sys.exit("CHANGED: XLA's is not slower by half any more")
PROGRAM
"$python" program.py
