#!/usr/bin/env bash
# keras 3.15.1, tensorflow 2.21.0 (CPU)
#
# Under `MirroredStrategy` a last batch that does not divide evenly is trained wrongly:
# each replica takes the mean over its own examples, and the means are averaged as if
# the replicas had equally many. Of 19 examples in batches of 16 the last 3 go 2 and 1,
# and the lone one counts twice as much as each of the others. The reported loss is
# weighted correctly, so the history of `fit` is that of one device while the weights
# are not.
#
# Seen: 16 examples: weights differ by 1e-7; 19: by 0.23, both losses 31.395319.

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
export TF_CPP_MIN_LOG_LEVEL=3 KERAS_BACKEND=tensorflow

cat > program.py <<'PROGRAM'
import sys

import keras
import numpy as np
import tensorflow as tf

cpu = tf.config.list_physical_devices("CPU")[0]
two = [tf.config.LogicalDeviceConfiguration()] * 2
tf.config.set_logical_device_configuration(cpu, two)
random = np.random.default_rng(0)
x = random.normal(size=(19, 4)).astype("float32")
y = x @ np.array([[1], [2], [3], [4]], "float32")


def trained(num_devices, examples, **options):
    devices = [f"CPU:{i}" for i in range(num_devices)]
    strategy = tf.distribute.MirroredStrategy(devices)
    with strategy.scope():
        model = keras.Sequential(
            [keras.Input((4,)), keras.layers.Dense(1, kernel_initializer="zeros")]
        )
        model.compile(keras.optimizers.SGD(0.1, **options), "mse", jit_compile=False)
    history = model.fit(
        x[:examples], y[:examples], batch_size=16, shuffle=False, verbose=0
    )
    return np.concatenate([w.ravel() for w in model.get_weights()]), history


differences = {}
for examples in (16, 19):
    weights, histories = zip(*(trained(n, examples) for n in (1, 2)))
    losses = [history.history["loss"][0] for history in histories]
    apart = float(np.abs(weights[0] - weights[1]).max())
    differences[examples] = apart, abs(losses[0] - losses[1])
    print(f"{examples} examples: weights differ by {apart:.2g}; losses {losses}")
if differences[16][0] > 1e-4 or differences[19][0] < 0.01 or differences[19][1] > 1e-3:
    sys.exit("CHANGED: expected equal losses, other weights at 19 examples only")
PROGRAM
"$python" program.py
