#!/usr/bin/env bash
# keras 3.15.1, tensorflow 2.21.0 (CPU)
#
# A model with `enable_lora` that is saved and loaded predicts what it did: the product
# of the two LoRA factors was added to the kernel. But both factors are now zero, and
# the gradient of each is a multiple of the other: LoRA is on, its variables are
# trainable, `fit` runs, and they never move again. Only the biases learn.
#
# Seen: after 20 epochs more both factors of the loaded model are exactly 0.0 and its
# kernel is unchanged; in the model that was not reloaded they moved by 0.45 and 0.54.

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

keras.utils.set_random_seed(0)
random = np.random.default_rng(0)
x = random.normal(size=(64, 8)).astype("float32")
y = random.normal(size=(64, 4)).astype("float32")
model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(4, name="dense")])
model.get_layer("dense").enable_lora(2)
model.compile(keras.optimizers.SGD(0.1), "mse")
model.fit(x, y, epochs=3, verbose=0)
model.save("model.keras")
loaded = keras.models.load_model("model.keras")
apart = float(np.abs(model(x) - loaded(x)).max())


def moved(model):
    layer = model.get_layer("dense")
    before = layer.lora_kernel_a.numpy(), layer.lora_kernel_b.numpy()
    kernel = np.array(layer.kernel)
    model.fit(x, y, epochs=20, verbose=0)
    after = layer.lora_kernel_a.numpy(), layer.lora_kernel_b.numpy()
    factors = max(float(np.abs(a - b).max()) for a, b in zip(before, after))
    return factors, float(np.abs(np.array(layer.kernel) - kernel).max())


lora = loaded.get_layer("dense").lora_enabled
original, reloaded = moved(model), moved(loaded)
print(f"predictions apart by {apart:.1e}; LoRA on after loading: {lora}")
print(f"(factors, kernel) moved: {original} as trained on, {reloaded} as reloaded")
if apart > 1e-5 or not lora or min(original) < 0.05 or max(reloaded) > 0:
    sys.exit("CHANGED: expected factors that move, and none that move after loading")
PROGRAM
"$python" program.py
