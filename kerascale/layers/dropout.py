"""Dropout whose mask depends on an example's place in the global batch."""

from typing import Any

import keras
import tensorflow as tf

from kerascale.engine.data import shard

if keras.backend.backend() == "jax":
    from kerascale.layers import _by_place_jax as _by_place
else:
    from kerascale.layers import _by_place


@keras.saving.register_keras_serializable(package="kerascale")
class Dropout(keras.layers.Dropout):
    """`keras.layers.Dropout`, with the same masks on any number of replicas.

    The mask of an example is a function of the seed, how often the layer has drawn,
    and the example's place in the global batch: N replicas drop what one device drops.

    Args:
        rate: Float between 0 and 1. Fraction of the values that are dropped.
        noise_shape: Shape of the mask, as in Keras: a first entry of 1 means one mask
            for all examples. Defaults to the input's.
        seed: Integer. Defaults to one drawn from Keras' global seed.
        **kwargs: `name`, `dtype` and the other arguments of a `keras.layers.Layer`.

    Call arguments:
        inputs: Float tensor of any shape.
        training: Boolean. Nothing is dropped if it is `False`.

    Example:

    >>> layer = kerascale.layers.Dropout(0.5)
    >>> layer(np.ones((2, 3), "float32"), training=True)
    """

    draws_by_place = True

    def call(self, inputs: Any, training: bool = False) -> Any:
        backend = keras.backend.backend()
        if not training or self.rate == 0 or backend not in ("tensorflow", "jax"):
            return super().call(inputs, training=training)
        if self.rate >= 1:
            return keras.ops.zeros_like(inputs)
        if backend == "jax":  # The batch is the global one.
            return self._call_of_jax(inputs)
        seed, draw = tf.unstack(tf.cast(self.seed_generator.next(), tf.uint64))
        shared = self.noise_shape is not None and self.noise_shape[0] == 1
        here = None if shared else shard.current()
        offset = tf.zeros((), tf.int64) if here is None else here.offset
        noise = _by_place.uniform(self._noise_shape_of(inputs), offset, seed, draw)
        keep = tf.cast(noise >= self.rate, inputs.dtype)
        return inputs * keep / tf.cast(1.0 - self.rate, inputs.dtype)

    def _call_of_jax(self, inputs: Any) -> Any:
        given = self.noise_shape or (None,) * len(inputs.shape)
        pairs = zip(inputs.shape, given, strict=True)
        shape = tuple(size if n is None else n for size, n in pairs)
        seed, draw = self.seed_generator.next()
        noise = _by_place.uniform(shape, seed, draw)
        keep = keras.ops.cast(noise >= self.rate, inputs.dtype)
        return inputs * keep / keras.ops.cast(1.0 - self.rate, inputs.dtype)

    def _noise_shape_of(self, inputs: tf.Tensor) -> tf.Tensor:
        shape = tf.shape(inputs)
        if self.noise_shape is None:
            return shape
        given = [shape[i] if n is None else n for i, n in enumerate(self.noise_shape)]
        if self.noise_shape[0] not in (None, 1):
            given[0] = shape[0]  # The batch, of which this may be a slice.
        return tf.stack(given)
