#!/usr/bin/env bash
# tensorflow 2.21.0 (CPU)
#
# A `tf.data` map that only refers to a tensor (`tf.gather(images, i)`) copies it: when
# an iterator is made, the dataset's graph is serialised to be rewritten, with the
# tensor in it. Peak memory grows by the tensor's size once more. With
# `experimental_optimization.apply_default_optimizations = False` nothing is copied; the
# name of that option says nothing of memory.
#
# Seen: growth of the peak at a tensor of 256 MiB: 1.03 times its size by default, 0.00
# times without the rewriting.

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
import resource
import sys

import tensorflow as tf

ROWS = 2**18  # Of 256 numbers of 4 bytes.


def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def dataset(images, rewritten):
    options = tf.data.Options()
    options.experimental_optimization.apply_default_optimizations = rewritten
    rows = tf.data.Dataset.range(8).map(lambda i: tf.gather(images, i))
    return rows.with_options(options)


images = tf.reshape(tf.range(ROWS * 256), (ROWS, 256))
# What is loaded at first use is not counted.
for rewritten in (True, False):
    list(dataset(images[:8], rewritten))
growth = {}
for rewritten in (False, True):  # The peak never falls.
    before = peak()
    list(dataset(images, rewritten))
    growth[rewritten] = (peak() - before) / (ROWS * 1024)
print(f"growth by default: {growth[True]:.2f} times the tensor")
print(f"without rewriting: {growth[False]:.2f} times the tensor")
if growth[True] < 0.7 or growth[False] > 0.3:
    sys.exit("CHANGED: expected above 0.7, and below 0.3 without rewriting")
PROGRAM
"$python" program.py
