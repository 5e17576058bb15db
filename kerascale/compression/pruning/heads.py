"""Attention heads that are pruned as a whole."""

import dataclasses
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kerascale.compression.pruning import choice
from kerascale.compression.pruning.choice import Structure
from kerascale.compression.pruning.target import Target
from kerascale.layers import SelfAttention

# Query, key and value, beside each other in one kernel.
_PARTS = 3


@dataclasses.dataclass(eq=False)
class Heads(Target):
    """The heads of an attention layer: columns of one kernel, rows of the other.

    `kernel` is that of query, key and value.
    """

    @classmethod
    def of(cls, attention: SelfAttention) -> "Heads":
        fused, output = attention.query_key_value, attention.attention_output
        return cls(fused.kernel, [fused.bias, output.kernel], attention)

    @property
    def num_whole(self) -> int:
        return self.layer.num_heads

    @property
    def output(self) -> keras.Variable:
        """The kernel that takes what the heads mixed, (heads * head size, width)."""
        return self.followers[-1]

    def choose(self, structure: Structure, value: Any, count: Any) -> Any:
        del structure
        output = tf.cast(tf.convert_to_tensor(self.output), value.dtype)
        values = value[:, -output.shape[0] :]
        return choice.of_heads(values, output, self.num_whole, count)

    def spread(self, mask: Any, variable: keras.Variable) -> Any:
        each = tf.repeat(mask, self.layer.head_size)
        return each[:, None] if variable is self.output else tf.tile(each, [_PARTS])

    def whole_norms(self) -> np.ndarray:
        output = np.asarray(keras.ops.convert_to_numpy(self.output), "float64")
        return np.linalg.norm(output.reshape(self.num_whole, -1), axis=1)

    def slices(self, kept: np.ndarray) -> Iterator[tuple[Any, int, np.ndarray]]:
        size, inner = self.layer.head_size, self.output.shape[0]
        rows = (kept[:, None] * size + np.arange(size)).reshape(-1)
        columns = np.concatenate([rows + part * inner for part in range(_PARTS)])
        yield self.kernel, 1, columns
        yield self.followers[0], 0, columns
        yield self.output, 0, rows
