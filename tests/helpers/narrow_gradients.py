"""Trains a model for each dtype in which gradients travel; prints what came of it.

Under `mirrored`, or as one of several workers, which TF_CONFIG says.
"""

import json
import os

import keras
import numpy as np

import kerascale as ks

DTYPES = ("gradient", "float16", "bfloat16")


def main():
    is_worker = "TF_CONFIG" in os.environ
    strategy = ks.strategies.get("multi_worker_mirrored" if is_worker else "mirrored")
    random = np.random.default_rng(0)
    x = random.standard_normal((99, 7)).astype("float32")
    y = x @ random.standard_normal((7, 3)).astype("float32")
    for dtype in DTYPES:
        keras.utils.set_random_seed(0)
        with strategy.scope():
            hidden = keras.layers.Dense(5, activation="tanh")
            layers = [keras.Input((7,)), hidden, keras.layers.Dense(3)]
            model = ks.scale(
                keras.Sequential(layers), execution="fixed", all_reduce_dtype=dtype
            )
            model.compile(keras.optimizers.SGD(0.05, momentum=0.9), "mse")
        model.fit(x, y, batch_size=16, epochs=3, verbose=0)
        weights = np.concatenate([w.ravel() for w in model.get_weights()])
        print(json.dumps({"dtype": dtype, "weights": weights.tolist()}), flush=True)


if __name__ == "__main__":
    main()
