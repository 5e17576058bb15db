"""One of several workers that train; TF_CONFIG says which.

    python shared_memory_worker.py WHAT UNITS

WHAT is `train`, or `kill`: worker 1 kills itself before its third step, while worker 0
waits for it.
"""

import hashlib
import os
import signal
import sys

import keras
import numpy as np

import kerascale as ks


class KillSelf(keras.callbacks.Callback):
    """Ends its own process before the third step."""

    def on_train_batch_begin(self, batch, logs=None):
        if batch == 2:
            os.kill(os.getpid(), signal.SIGKILL)


def main(what, units):
    strategy = ks.strategies.get("multi_worker_mirrored")
    keras.utils.set_random_seed(0)
    x = np.random.standard_normal((48, 16)).astype("float32")
    with strategy.scope():
        model = ks.scale(
            keras.Sequential(
                [
                    keras.Input((16,)),
                    keras.layers.Dense(int(units), activation="tanh"),
                    keras.layers.Dense(16),
                ]
            )
        )
        model.compile("adam", "mse")
    is_second = strategy.cluster_resolver.task_id == 1
    callbacks = [KillSelf()] if what == "kill" and is_second else []
    model.fit(x, x, batch_size=8, epochs=2, verbose=0, callbacks=callbacks)
    weights = b"".join(w.tobytes() for w in model.get_weights())
    print(hashlib.sha256(weights).hexdigest())


if __name__ == "__main__":
    main(*sys.argv[1:])
