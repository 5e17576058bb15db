#!/usr/bin/env bash
# tensorflow 2.21.0 (CPU)
#
# `tf.random.experimental.index_shuffle` is documented to give a permutation of
# 0..max_index. For 4**k + 1 indices, k >= 8, it gives none: one index comes twice and
# the last one never, whatever the seed. Sizes around it, and smaller ones of that form,
# are right.
#
# Seen: of 65,537 indices 65,536 differ, 65,536 is missing; of 262,145 262,144, 262,144
# is missing; 16,385, 65,536 and 65,538 are permutations.

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


def missing(size, seed):
    order = tf.random.experimental.index_shuffle(
        tf.range(size, dtype=tf.int64),
        seed=tf.constant(seed, tf.uint32),
        max_index=tf.constant(size - 1, tf.int64),
    )
    return sorted(set(range(size)) - set(order.numpy().tolist()))


changed = []
for size in (16_385, 65_536, 65_537, 65_538, 262_145):
    expected = [size - 1] if size in (65_537, 262_145) else []
    for seed in ([1, 2], [3, 4]):
        found = missing(size, seed)
        print(f"{size} indices, seed {seed}: missing {found}")
        if found != expected:
            changed.append(f"{size}, {seed}: {found}, expected {expected}")
if changed:
    sys.exit("CHANGED: " + "; ".join(changed))
PROGRAM
"$python" program.py
