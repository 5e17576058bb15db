"""Trains three steps on a mesh of four devices: python mesh_tiny.py OUT.

What it has trained is saved in OUT.checkpoints by all processes, and read again.
"""

import contextlib
import os
import pathlib
import sys

from kerascale.strategies import mesh_peers, mesh_process

ROWS, BATCH = 24, 8


def trained(strategy, and_then=lambda model: None):
    """The weights, and the loss of the epoch; `and_then` gets the model."""
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
    and_then(model)
    return [np.array(history["loss"]), *weights]


def saved_and_read(model, folder):
    """Saves the state of a model in parts, and reads it in place of another."""
    import numpy as np

    from kerascale.engine import state
    from kerascale.engine.collectives import consensus
    from kerascale.runs.checkpoint import PartStore, Store, look

    assert state.is_cut(model)
    peers = consensus.peers()
    store = PartStore(folder, peers) if peers.index else Store(folder, peers=peers)
    before = None
    for step in (1, 2):
        # Into the memory of what was saved before.
        before = state.capture(model, in_parts=True, into=before)
        store.save(step, before, {})
    kernel = before["model/00000"]
    assert sum(piece.array.size for piece in kernel.pieces) == 4 * 8 / peers.count
    arrays = look(folder / "000000000002", 2).arrays
    zeros = {n: np.zeros(a.shape, a.dtype) for n, a in arrays.items()}
    for values in (zeros, arrays):
        state.restore(model, values)
        found = state.capture(model, in_parts=True)
    for name, array in before.items():
        for one, other in zip(_blocks(array), _blocks(found[name]), strict=True):
            np.testing.assert_array_equal(one, other)
    _read_by_the_first(model, arrays, peers.index)


def _blocks(array):
    pieces = getattr(array, "pieces", None)
    return [array] if pieces is None else [piece.array for piece in pieces]


def _read_by_the_first(model, arrays, index):
    """One process reads each variable; the other one has its own part alone."""
    import numpy as np

    from kerascale.engine.collectives import whole

    with whole.on_host(model, by_all=False):
        if index == 0:
            for place, variable in enumerate(model.variables):
                expected = arrays[f"model/{place:05d}"][()]
                np.testing.assert_array_equal(variable.numpy(), expected)
    kernel = model.variables[0]
    assert not kernel.value.is_fully_addressable


def main(out):
    os.environ.update(mesh_process.environment_for("fsdp", "data=4", os.environ))
    import numpy as np

    import kerascale as ks

    folder = pathlib.Path(f"{out}.checkpoints")
    strategy = ks.strategies.get("fsdp", mesh="data=4")
    found = trained(strategy, lambda model: saved_and_read(model, folder))
    if mesh_peers.here().index == 0:
        np.savez(out, *found)


if __name__ == "__main__":
    main(*sys.argv[1:])
