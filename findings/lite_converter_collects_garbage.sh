#!/usr/bin/env bash
# tensorflow 2.21.0 (CPU)
#
# A converter of `TFLiteConverter.from_saved_model` collects the garbage of the whole
# process when it converts, also where collecting is disabled: how long a model takes
# grows with the objects that the process has, whatever the model is. With Keras and some
# models loaded that was more than half of the time of a small one (0.25 of 0.43 s).
# Objects that `gc.freeze()` has set aside are not looked at.
#
# Seen: with collecting disabled, one conversion makes one collection of the oldest
# generation.

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
import gc

import tensorflow as tf

oldest = []
gc.callbacks.append(
    lambda phase, info: oldest.append(phase == "start" and info["generation"] == 2)
)


@tf.function(input_signature=[tf.TensorSpec([1, 4], tf.float32)])
def double(x):
    return {"y": 2.0 * x}


module = tf.Module()
module.double = double
tf.saved_model.save(module, "model", signatures={"serving_default": double})
converter = tf.lite.TFLiteConverter.from_saved_model("model")
gc.disable()
oldest.clear()
converter.convert()
print(sum(oldest))
PROGRAM
seen=$("$python" program.py 2>program.log || { cat program.log >&2; exit 1; })
echo "collections while collecting is disabled: $seen"
if [[ $seen != "1" ]]; then
  echo "CHANGED: expected 1"
  exit 1
fi
