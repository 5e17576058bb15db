"""Trains three steps on a mesh of four devices: python mesh_tiny.py OUT."""

import contextlib
import os
import sys

from kerascale.strategies import mesh_peers, mesh_process

ROWS, BATCH = 24, 8


def trained(strategy):
    """The weights, and the loss of the epoch."""
    import keras
    import numpy as np

    import kerascale as ks
    from kerascale.datasets.gathers import FromArrays
    from kerascale.datasets.pipeline import Batches

    random = np.random.default_rng(1)
    x, y = random.normal(size=(2, ROWS, 4)).astype("float32")
    # Of several processes the first one's weights and order are taken.
    keras.utils.set_random_seed(3 + mesh_peers.here().index)
    with strategy.scope():
        layers = [keras.layers.Dense(8, "tanh"), keras.layers.Dense(4)]
        model = ks.scale(keras.Sequential(layers))
        model.build((None, 4))
        model.compile(keras.optimizers.SGD(0.1, 0.9), "mse")
    model.execution = "fixed"
    batches = Batches(FromArrays((x, y)), ROWS, BATCH, seed=1, shuffle=True)
    history = model.fit(batches, verbose=0).history
    # As a run that was stopped behind the last step of an epoch.
    model.fit(batches.starting_at(ROWS // BATCH), verbose=0)
    on_mesh = keras.config.backend() == "jax"
    with strategy.on_host(model) if on_mesh else contextlib.nullcontext():
        weights = model.get_weights()
    return [np.array(history["loss"]), *weights]


def main(out):
    os.environ.update(mesh_process.environment_for("fsdp", "data=4", os.environ))
    import numpy as np

    import kerascale as ks

    found = trained(ks.strategies.get("fsdp", mesh="data=4"))
    if mesh_peers.here().index == 0:
        np.savez(out, *found)


if __name__ == "__main__":
    main(*sys.argv[1:])
