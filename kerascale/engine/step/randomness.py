"""Random draws of Keras' own: each replica has its own."""

import contextlib
import random
from collections.abc import Iterator
from typing import Any

import keras
import tensorflow as tf

from kerascale.engine.compat import keras_private

# Attributes of Keras' layers that say how much they draw.
RATES = ("rate", "dropout", "recurrent_dropout", "stddev")


# What is said to draw, and the attribute of a model that such draws are from.
UNSEEDED = "keras.random without a seed"
_UNSEEDED = "_kerascale_unseeded"


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
    for layer in drawing(model):
        for generator in _placeless_of(layer):
            keras_private.adopt_class(generator, PerReplicaSeeds)
        names.append(layer.name)
    return names


def unseeded_generator() -> keras.random.SeedGenerator:
    """One that stands for Keras' own, on replicas or aside.

    Python's random numbers go on as if it had not been made.
    """
    seed = random.Random(repr(random.getstate())).randint(1, 10**9)
    generator = keras.random.SeedGenerator(seed, name="unseeded")
    return keras_private.adopt_class(generator, PerReplicaSeeds)


def prepare_unseeded(model: keras.Model) -> None:
    """Makes what draws without a seed are from, in the scope of replicas."""
    if _UNSEEDED not in vars(model):
        with model.distribute_strategy.scope():
            vars(model)[_UNSEEDED] = unseeded_generator()


def unseeded_of(model: keras.Model) -> keras.random.SeedGenerator | None:
    """What draws without a seed are from, if it was made."""
    return vars(model).get(_UNSEEDED)


def unseeded(model: keras.Model) -> contextlib.AbstractContextManager[None]:
    """Within it a step may draw without a seed, on each replica for itself."""
    generator = unseeded_of(model)
    if generator is None:
        return contextlib.nullcontext()
    return keras_private.unseeded_draws_from(generator)


def drawing_for_themselves(model: keras.Model) -> list[str]:
    """The names of layers whose draws do not depend on an example's place."""
    return [layer.name for layer in drawing(model)]


def generators(model: keras.Model) -> list[keras.random.SeedGenerator]:
    """All that layers draw from."""
    layers = keras_private.all_layers(model)
    return [
        generator
        for layer in layers
        for generator in keras_private.seed_generators(layer)
    ]


def placeless(
    model: keras.Model,
) -> Iterator[tuple[str, keras.random.SeedGenerator]]:
    """(name of a layer, what it draws from) where draws know no place in a batch."""
    for layer in keras_private.all_layers(model):
        if not getattr(layer, "draws_by_place", False):
            yield from ((layer.name, generator) for generator in _placeless_of(layer))


def drawing(model: keras.Model) -> Iterator[keras.layers.Layer]:
    """Layers that draw, and whose draws know no place in a batch."""
    for layer in keras_private.all_layers(model):
        if getattr(layer, "draws_by_place", False):
            continue
        rates = [getattr(layer, name, None) for name in RATES]
        if any(r is not None for r in rates) and not any(rates):
            continue  # It draws nothing.
        if _placeless_of(layer):
            yield layer


def _placeless_of(layer: keras.layers.Layer) -> list[keras.random.SeedGenerator]:
    """What it draws from, but for those that say `draws_by_place` themselves."""
    return [
        generator
        for generator in keras_private.seed_generators(layer)
        if not getattr(generator, "draws_by_place", False)
    ]
