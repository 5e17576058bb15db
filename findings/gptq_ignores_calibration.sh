#!/usr/bin/env bash
# keras 3.15.1, tensorflow 2.21.0 (CPU)
#
# `model.quantize("gptq", config=GPTQConfig(...))` asks for calibration data and a
# tokenizer, and its result does not depend on the data: it watches the layers' `call`,
# but when it does, the layers have been switched to `quantized_call` already, and its
# statistics stay zero. `"awq"` behaves alike. So both are plain rounding, at the price
# of a calibration.
#
# Seen: calibrated with the token 1 alone and with random tokens of 2 to 7, all
# variables of the quantised layer are bit-identical, for gptq and for awq.

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
import warnings

import keras
import numpy as np

keras.config.disable_interactive_logging()
warnings.simplefilter("ignore")  # An embedding is no layer that gptq quantises.


class Tokenizer:
    # The data are token ids already.
    def tokenize(self, text):
        return text


def quantised(tokens, mode):
    keras.utils.set_random_seed(0)
    random = keras.initializers.RandomNormal(0, 1, seed=0)
    embedding = keras.layers.Embedding(8, 128, embeddings_initializer=random)
    dense = keras.layers.Dense(64)
    block = keras.Sequential([dense])
    model = keras.Sequential([keras.Input((16,), dtype="int32"), embedding, block])
    configs = {"gptq": keras.quantizers.GPTQConfig, "awq": keras.quantizers.AWQConfig}
    config = configs[mode](
        dataset=[tokens],
        tokenizer=Tokenizer(),
        num_samples=8,
        sequence_length=16,
        quantization_layer_structure={
            "pre_block_layers": [embedding],
            "sequential_blocks": [block],
        },
    )
    model.quantize(mode, config=config)
    return [variable.numpy() for variable in dense.variables]


one_token = np.ones(128, "int32")
others = np.random.default_rng(0).integers(2, 8, 128).astype("int32")
changed = []
for mode in ("gptq", "awq"):
    first, second = quantised(one_token, mode), quantised(others, mode)
    packed = any(value.dtype == "uint8" for value in first)
    same = all(map(np.array_equal, first, second))
    print(f"{mode}: {len(first)} variables, bit-identical: {same}")
    if not same or not packed:
        changed.append(mode)
if changed:
    sys.exit(f"CHANGED: {changed} depends on its data, or does not quantise")
PROGRAM
"$python" program.py
