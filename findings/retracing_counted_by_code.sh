#!/usr/bin/env bash
# tensorflow 2.21.0 (CPU)
#
# The warning of a `tf.function` that is traced too often counts traces by the code of the
# function: those of one method of many objects together. Models that are made one after
# the other, as for the folds of a cross-validation, each traced once, are warned of as
# if one function were traced again and again.
#
# Seen: six objects, whose graphs of one method are called once each, bring 2 warnings;
# six partials of the same method none.

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
import functools
import logging

import tensorflow as tf

seen = []


class Count(logging.Handler):
    def emit(self, record):
        seen.append("triggered tf.function retracing" in record.getMessage())


logging.getLogger("tensorflow").addHandler(Count())


class Model:
    def step(self, x):
        return x + 1.0


def warnings(make):
    seen.clear()
    for _ in range(6):
        make(Model())(tf.constant(1.0))
    return sum(seen)


methods = warnings(lambda model: tf.function(model.step))
partials = warnings(lambda model: tf.function(functools.partial(model.step)))
print(f"{methods} {partials}")
PROGRAM
seen=$("$python" program.py 2>program.log || { cat program.log >&2; exit 1; })
echo "warnings for methods, for partials: $seen"
if [[ $seen != "2 0" ]]; then
  echo "CHANGED: expected 2 0"
  exit 1
fi
