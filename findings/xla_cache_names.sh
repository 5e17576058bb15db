#!/usr/bin/env bash
# tensorflow 2.21.0 (CPU)
#
# TensorFlow can keep what `jit_compile=True` has compiled in a folder
# (`--tf_xla_persistent_cache_directory`), and finds it again in the next process by the
# program's text. That text holds function names which end in a number that counts what
# was traced before in the process. So a process that traces one unrelated function
# first, compiles the same program again, and keeps it a second time.
#
# Seen: files in the folder after each process: 1 (first), 1 (the same again: found), 2
# (one unrelated function was traced first: not found).

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

cat > step.py <<'PROGRAM'
import sys

import tensorflow as tf

if sys.argv[1] == "other first":
    tf.function(lambda x: x + 1)(1)  # Not compiled, so nothing of it is kept.


@tf.function(jit_compile=True)
def step(x, w):
    return tf.tanh(x @ w)


step(tf.ones((8, 64)), tf.ones((64, 64)))
PROGRAM
mkdir kept
export TF_XLA_FLAGS=--tf_xla_persistent_cache_directory=$folder/kept
seen=
for first in nothing nothing 'other first'; do
  "$python" step.py "$first"
  files=$(find kept -name '*.pb' | wc -l)
  echo "$first traced before: $files kept"
  seen="$seen$files "
done
if [[ $seen != '1 1 2 ' ]]; then
  echo "CHANGED: expected 1 1 2 files, seen $seen"
  exit 1
fi
