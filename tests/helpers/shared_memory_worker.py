"""One of several workers that train; TF_CONFIG says which.

    python shared_memory_worker.py [kill]

It trains a small model and a larger one, and prints what tells their weights' bits, and
how often their steps were traced.
With `kill` it trains on, and worker 1 kills itself while worker 0 waits for it.
"""

import hashlib
import os
import signal
import sys
import time

import keras
import numpy as np
import tensorflow as tf

import kerascale as ks

# The second needs more memory than the first.
FEW, MANY = 8, 4096


class KillSelf(keras.callbacks.Callback):
    """Ends its own process before the third step."""

    def on_train_batch_begin(self, batch, logs=None):
        if batch == 2:
            # By then worker 0 has ended its second step, whatever else runs here.
            time.sleep(3)
            os.kill(os.getpid(), signal.SIGKILL)


class Counting(keras.layers.Layer):
    """Counts how often it is traced."""

    traced = 0

    def call(self, inputs):
        self.traced += tf.inside_function()
        return inputs


def main(kill=""):
    strategy = ks.strategies.get("multi_worker_mirrored")
    for units in (FEW, MANY):
        keras.utils.set_random_seed(0)
        x = np.random.standard_normal((48, 16)).astype("float32")
        with strategy.scope():
            hidden = keras.layers.Dense(units, activation="tanh")
            counting = Counting()
            layers = [keras.Input((16,)), hidden, counting, keras.layers.Dense(16)]
            model = ks.scale(keras.Sequential(layers))
            model.compile("adam", "mse")
        before = counting.traced
        model.fit(x, x, batch_size=8, verbose=0)
        weights = b"".join(w.tobytes() for w in model.get_weights())
        traced = counting.traced - before
        print(units, hashlib.sha256(weights).hexdigest(), traced, flush=True)
        print(f"trained {units}", file=sys.stderr, flush=True)
    if kill:
        is_second = strategy.cluster_resolver.task_id == 1
        callbacks = [KillSelf()] if is_second else []
        model.fit(x, x, batch_size=8, verbose=0, callbacks=callbacks)


if __name__ == "__main__":
    main(*sys.argv[1:])
