"""Random layers of Keras' own: a draw of its own for each replica."""

from typing import Any

import keras
import tensorflow as tf

from kerascale.engine import private_keras

# Attributes of Keras' layers that say how much they draw.
_RATES = ("rate", "dropout", "recurrent_dropout", "stddev")


class PerReplicaSeeds:
    """Put in front of a `keras.random.SeedGenerator`.

    All replicas hold the same seed, and would draw the same values for different
    examples.
    """

    def next(self, ordered: bool = True) -> Any:
        seed = super().next(ordered)
        context = tf.distribute.get_replica_context()
        if context is None or context.num_replicas_in_sync == 1:
            return seed
        replica = tf.cast(context.replica_id_in_sync_group, seed.dtype)
        # An odd constant spreads the replicas over the range of seeds.
        return seed + tf.stack([replica * 0x5BD1E995, tf.zeros_like(replica)])


def draw_by_replica(model: keras.Model) -> list[str]:
    """Gives every replica draws of its own in Keras' random layers.

    Layers that say `draws_by_place` have draws that depend on an example's place in
    the global batch, and are left alone.

    Returns:
        The names of the layers that were changed.
    """
    names = []
    for layer in private_keras.all_layers(model):
        if getattr(layer, "draws_by_place", False):
            continue
        generators = [
            value
            for value in vars(layer).values()
            if isinstance(value, keras.random.SeedGenerator)
        ]
        rates = [getattr(layer, name, None) for name in _RATES]
        if any(r is not None for r in rates) and not any(rates):
            continue  # It draws nothing.
        for generator in generators:
            private_keras.adopt_class(generator, PerReplicaSeeds)
        if generators:
            names.append(layer.name)
    return names
