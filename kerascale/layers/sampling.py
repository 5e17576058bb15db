"""Draws from a normal distribution, as the encoder of a VAE needs them."""

from typing import Any

import keras
import tensorflow as tf

from kerascale.engine.data import shard
from kerascale.layers._common import Shape, at_least_float32

if keras.backend.backend() == "jax":
    from kerascale.layers import _by_place_jax as _by_place
else:
    from kerascale.layers import _by_place


@keras.saving.register_keras_serializable(package="kerascale")
class Sampling(keras.layers.Layer):
    """Draws `mean + exp(log_var / 2) * noise`, the same on any number of replicas.

    The noise of an example is a function of the seed, how often the layer has drawn,
    and the example's place in the global batch: N replicas draw what one device draws.
    It is the reparametrization of [Auto-Encoding Variational Bayes](
    https://arxiv.org/abs/1312.6114) (Kingma and Welling, 2013).

    Args:
        seed: Integer. Defaults to one drawn from Keras' global seed.
        **kwargs: `name`, `dtype` and the other arguments of a `keras.layers.Layer`.

    Call arguments:
        inputs: Pair `(mean, log_var)` of float tensors of shape `(batch, ...)`.
        training: Boolean. If it is `False`, the mean is returned, as Keras' layers
            of noise do.

    Returns:
        Float tensor of the shape of the mean.

    Example:

    >>> layer = kerascale.layers.Sampling()
    >>> layer((np.zeros((2, 3)), np.zeros((2, 3))), training=True).shape
    (2, 3)
    """

    draws_by_place = True

    def __init__(self, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)
        self.built = True

    def call(self, inputs: Any, training: bool = False) -> Any:
        mean, log_var = inputs
        if not training:
            return mean
        dtype = at_least_float32(self.compute_dtype)
        noise = keras.ops.cast(self._noise(mean, dtype), mean.dtype)
        return mean + keras.ops.exp(0.5 * log_var) * noise

    def _noise(self, mean: Any, dtype: str) -> Any:
        if keras.backend.backend() == "jax":  # The batch is the global one.
            seed, draw = self.seed_generator.next()
            return _by_place.normal(tuple(mean.shape), seed, draw, dtype)
        if keras.backend.backend() != "tensorflow":
            shape = keras.ops.shape(mean)
            return keras.random.normal(shape, dtype=dtype, seed=self.seed_generator)
        seed, draw = tf.unstack(tf.cast(self.seed_generator.next(), tf.uint64))
        here = shard.current()
        offset = tf.zeros((), tf.int64) if here is None else here.offset
        return _by_place.normal(tf.shape(mean), offset, seed, draw, tf.as_dtype(dtype))

    def compute_output_shape(self, input_shape: Any) -> Shape:
        return tuple(input_shape[0])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "seed": self.seed}
