#!/usr/bin/env bash
# tensorflow 2.21.0 (CPU)
#
# In a function with `jit_compile=True`, `values[i]` with a changing tensor `i` is
# compiled anew at each value of `i`, though it is traced once and `i` has the same
# shape and type. `tf.gather(values, i)`, which gives the same number, is compiled once.
# Nothing is logged; `experimental_get_tracing_count` stays 1.
#
# Seen (compiled programs counted in the folder that they are kept in): 6 calls, 6
# programs for `values[i]`, 1 for `tf.gather(values, i)`, one trace each.

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
import os
import pathlib
import sys

folder = pathlib.Path("kept").resolve()
folder.mkdir()
os.environ["TF_XLA_FLAGS"] = f"--tf_xla_persistent_cache_directory={folder}"

import tensorflow as tf


@tf.function(jit_compile=True)
def by_slice(values, i):
    return values[i]


@tf.function(jit_compile=True)
def by_gather(values, i):
    return tf.gather(values, i)


values = tf.range(100.0)
seen = []
for function in (by_slice, by_gather):
    before = len(list(folder.iterdir()))
    for i in range(6):
        assert float(function(values, tf.constant(i))) == i
    programs = len(list(folder.iterdir())) - before
    seen.append((programs, function.experimental_get_tracing_count()))
print(f"6 calls: slice {seen[0][0]} programs, gather {seen[1][0]} (traces: {seen})")
if seen != [(6, 1), (1, 1)]:
    sys.exit("CHANGED: expected 6 programs and 1, each of one trace")
PROGRAM
"$python" program.py
