#!/usr/bin/env bash
# tensorflow 2.21.0 (CPU)
#
# `tf.random.experimental.index_shuffle` keeps only the low bits of each of its two seed
# words. For up to 65,536 indices that is 8 bits: the words 1, 257, 513 and 65,537 give
# the same order. So a run that puts its epoch or step into a word sees the same order
# again after 256 of them, and any two seeds that are equal modulo 256 are one.
#
# Seen: 60,000 indices, 1,024 seeds [0..1023, 7]: 256 orders, and seed k + 256 gives
# that of k.

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

import numpy as np
import tensorflow as tf

SIZE = 60_000


@tf.function
def first_of_order(word):
    # The first 1,000 positions are enough to tell orders apart.
    return tf.random.experimental.index_shuffle(
        tf.range(1_000, dtype=tf.int64),
        seed=tf.stack([word, 7]),
        max_index=tf.constant(SIZE - 1, tf.int64),
    )


words = [tf.constant(word, tf.int64) for word in range(1024)]
orders = [first_of_order(word).numpy().tobytes() for word in words]
num = len(set(orders))
print(f"{SIZE} indices, 1024 seeds: {num} orders")
print(f"seed k + 256 gives the order of k: {orders[256:] == orders[:-256]}")
if num != 256 or orders[256:] != orders[:-256]:
    sys.exit("CHANGED: seeds that are equal modulo 256 have orders of their own")
PROGRAM
"$python" program.py
