#!/usr/bin/env bash
# tensorflow 2.21.0 (CPU)
#
# A variable that is made within `tf.init_scope`, while a `tf.function` is traced for the
# first time, counts as one that the function has made, although it stands outside of its
# graph. The whole function is then traced a second time before it runs. A large step is
# built twice for one small counter that was made late.
#
# Seen: the Python code of a function that makes such a variable once, in `init_scope`,
# runs twice for its first call; where the variable was made before it runs once.

set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python=${FINDINGS_PYTHON:-}
if [[ -z $python ]]; then
  python3 -m venv venv
  python=$folder/venv/bin/python
  "$python" -m pip install -q --disable-pip-version-check \
    tensorflow==2.21.0 numpy==2.4.6
fi
export TF_CPP_MIN_LOG_LEVEL=3

cat > program.py <<'PROGRAM'
import tensorflow as tf

kept = {}


def counter():
    if "counter" not in kept:
        with tf.init_scope():
            kept["counter"] = tf.Variable(0)
    return kept["counter"]


def times_traced():
    traced = []

    @tf.function(autograph=False)
    def step(x):
        traced.append(x)
        counter().assign_add(1)
        return x + 1.0

    step(tf.constant(1.0))
    return len(traced)


late = times_traced()
before = times_traced()  # The counter is there now.
print(f"{late} {before}")
PROGRAM
seen=$("$python" program.py 2>program.log || { cat program.log >&2; exit 1; })
echo "traced for one call: variable made while tracing, made before: $seen"
if [[ $seen != "2 1" ]]; then
  echo "CHANGED: expected 2 and 1"
  exit 1
fi
