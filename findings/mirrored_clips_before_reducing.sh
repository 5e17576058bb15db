#!/usr/bin/env bash
# keras 3.15.1, tensorflow 2.21.0 (CPU)
#
# Under `MirroredStrategy`, `global_clipnorm` does not clip the gradient of the batch:
# each replica clips its own share to the full norm, and the shares are added after.
# With two replicas an update may be twice as large as what it was limited to. One
# device with the same batch obeys the limit. The same holds for `clipnorm` and
# `clipvalue`.
#
# Seen: one SGD step with rate 0.1 and `global_clipnorm=1`, 16 examples: the weights
# move by 0.100 on one device, by 0.184 on two; without a limit both move alike.

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
x = random.normal(size=(16, 4)).astype("float32")
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


def moved(num_devices, **options):
    return float(np.linalg.norm(trained(num_devices, 16, **options)[0]))


limited = [moved(n, global_clipnorm=1.0) for n in (1, 2)]
free = [moved(n) for n in (1, 2)]
print(f"clipped to 1: moved by {limited[0]:.3f} on one device, {limited[1]:.3f} on two")
print(f"no limit: {free[0]:.3f} on one device, {free[1]:.3f} on two")
one_obeys = abs(limited[0] - 0.1) < 1e-4 and abs(free[0] - free[1]) < 1e-4
if not one_obeys or limited[1] < 0.11:
    sys.exit("CHANGED: expected 0.1 on one device, more on two, alike without limit")
PROGRAM
"$python" program.py
