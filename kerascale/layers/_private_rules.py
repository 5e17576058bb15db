"""Formulas of each example's gradient, for layers of ours: what `dp_clip` uses."""

from typing import Any

import tensorflow as tf

from kerascale.engine.step.private import rules
from kerascale.layers import _trained, positions, token_embedding


class _Dense(rules.Dense):
    def finish(self, layer: Any, products: tf.Tensor) -> tf.Tensor:
        return _trained.activated(layer, products)


class _TokenEmbedding(rules.Embedding):
    def finish(self, layer: Any, products: tf.Tensor) -> tf.Tensor:
        return super().finish(layer, products) * layer.output_dim**0.5


class _PositionEmbedding:
    """A vector of each position: an example's gradient is that of its outputs."""

    def fits(self, layer: Any) -> bool:
        del layer
        return True

    def variables(self, layer: Any) -> list[Any]:
        return [layer.embeddings]

    def products(self, layer: Any, inputs: Any) -> tuple[tf.Tensor, tf.Tensor]:
        positions.require_length(layer.max_length, inputs.shape[1])
        return inputs[:, :, :0], inputs + layer.embeddings[: tf.shape(inputs)[1]]

    def finish(self, layer: Any, products: tf.Tensor) -> tf.Tensor:
        del layer
        return products

    def square_norms(self, layer: Any, given: tf.Tensor, g: tf.Tensor) -> tf.Tensor:
        del layer, given
        return tf.reduce_sum(g * g, axis=[1, 2])

    def each(self, layer: Any, given: tf.Tensor, g: tf.Tensor) -> list[tf.Tensor]:
        del given
        missing = layer.max_length - tf.shape(g)[1]
        return [tf.pad(g, [[0, 0], [0, missing], [0, 0]])]

    def total(self, layer: Any, given: tf.Tensor, g: tf.Tensor) -> list[tf.Tensor]:
        return [tf.reduce_sum(self.each(layer, given, g)[0], axis=0)]


rules.register(_trained.Dense, _Dense())
rules.register(_trained.LayerNormalization, rules.LayerNormalization())
rules.register(token_embedding.TokenEmbedding, _TokenEmbedding())
rules.register(positions.PositionEmbedding, _PositionEmbedding())
