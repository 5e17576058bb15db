#!/usr/bin/env bash
# keras 3.15.1, tensorflow 2.21.0 (CPU)
#
# Under `MirroredStrategy`, what a layer adds with `add_loss` ahead of a layer where
# replicas communicate (`BatchNormalization(synchronized=True)`) is lost, or is that of
# another replica. Layers keep what was added in one list for all replicas, each call of
# the model empties it, and replicas take turns at the places where they communicate.
#
# Seen: 16 examples, no training, the loss is what one layer adds, once the mean of
# its input, behind it a synchronised BatchNormalization. Rows 0 to 7 are 1, rows 8 to
# 15 are 3. One device reports 2; two replicas report 3: both use what the second added.
# With a BatchNormalization that is not synchronised both report 2.

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
x = np.repeat([[1.0], [3.0]], 8, axis=0).astype("float32")
y = np.zeros((16, 1), "float32")


class AddsItsMean(keras.layers.Layer):
    def call(self, inputs):
        self.add_loss(keras.ops.mean(inputs))
        return inputs


num_devices, synchronized = int(sys.argv[1]), sys.argv[2] == "synchronised"
devices = [f"CPU:{i}" for i in range(num_devices)]
with tf.distribute.MirroredStrategy(devices).scope():
    inputs = keras.Input((1,))
    hidden = AddsItsMean()(inputs)
    normal = keras.layers.BatchNormalization(synchronized=synchronized)
    outputs = keras.layers.Dense(1, kernel_initializer="zeros")(normal(hidden))
    model = keras.Model(inputs, outputs)
    model.compile(keras.optimizers.SGD(0.0), "mse", jit_compile=False)
history = model.fit(x, y, batch_size=16, shuffle=False, verbose=0).history
print(f"{history['loss'][0]:.2f}")
PROGRAM
loss() { "$python" program.py "$1" "$2" 2>program.log || { cat program.log; exit 1; }; }
for kind in apart synchronised; do
  one=$(loss 1 "$kind")
  two=$(loss 2 "$kind")
  echo "$kind: $one on one device, $two on two"
  seen="${seen:-} $one $two"
done
if [[ $seen != " 2.00 2.00 2.00 3.00" ]]; then
  echo "CHANGED: expected 2 but on two devices that are synchronised"
  exit 1
fi
