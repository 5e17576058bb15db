"""Byte pairs in TensorFlow's own operations, to be served in front of a model."""

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kerascale.datasets.byte_pairs import WORD, BytePairs, byte_of_sign
from kerascale.datasets.characters import NUM_SPECIAL_TOKENS

# Between two words; what a text has of it has been replaced.
_BREAK = "\x00"


@keras.saving.register_keras_serializable(package="kerascale")
class BytePairEncoding(keras.layers.Layer):
    """Strings (batch,) to int64 ids (batch, longest in the batch), padded with 0.

    The ids are those of the library `tokenizers`, which is not needed here, nor any
    table that a server would have to initialise: a SavedModel answers as the training
    did. Words are cut by a regular expression, and all words of a batch join their
    first best pair at once, until none is left.

    Args:
        tokenizer: From `byte_pairs.train`.
        **kwargs: Of `keras.layers.Layer`.
    """

    def __init__(self, tokenizer: str, **kwargs: Any) -> None:
        super().__init__(**{"trainable": False, "name": "byte_pairs", **kwargs})
        self._convert_input_args = False
        self._allow_non_tensor_positional_args = True
        self.tokenizer = tokenizer
        pairs = BytePairs(tokenizer)
        self._size = len(pairs.tokens)
        self._tokens = tuple(pairs.tokens)
        ids = {token: number for number, token in enumerate(pairs.tokens)}
        self._id_of_byte = np.zeros(256, np.int64)
        for sign, byte in byte_of_sign().items():
            self._id_of_byte[byte] = ids[sign]
        keys = np.array([a * self._size + b for a, b in pairs.pairs], np.int64)
        order = np.argsort(keys)
        # Pairs as sorted numbers, and the rank of each: the first is joined first.
        self._keys, self._ranks = keys[order], order.astype(np.int64)
        self._joined = np.array(pairs.joined, np.int64)

    def get_vocabulary(self) -> list[str]:
        """The tokens by id; each byte stands as a sign that can be printed."""
        return ["", "[UNK]", *self._tokens]

    def vocabulary_size(self) -> int:
        """Ids, padding and unknown included."""
        return self._size + NUM_SPECIAL_TOKENS

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "tokenizer": self.tokenizer}

    def compute_output_spec(self, inputs: Any) -> keras.KerasTensor:
        return keras.KerasTensor((inputs.shape[0], None), dtype="int64")

    def call(self, inputs: Any) -> tf.Tensor:
        texts = tf.strings.regex_replace(inputs, _BREAK, "\ufffd")
        marked = tf.strings.regex_replace(texts, WORD, rf"\0{_BREAK}")
        words = tf.strings.split(marked, _BREAK)
        words = tf.ragged.boolean_mask(words, words != "")
        distinct, places = tf.unique(words.flat_values)
        tokens = tf.gather(self._tokens_of(distinct), places)
        of_texts = words.with_values(tokens).merge_dims(1, 2)
        return of_texts.to_tensor()

    def _tokens_of(self, words: tf.Tensor) -> tf.RaggedTensor:
        """The ids of each word."""
        signs = tf.strings.bytes_split(words)
        values = tf.io.decode_raw(signs.flat_values, tf.uint8)
        values = tf.gather(
            self._id_of_byte, tf.cast(tf.reshape(values, [-1]), tf.int32)
        )
        table = signs.with_values(values).to_tensor(-1)
        # One column more, so that there is a pair in each word.
        table = tf.pad(table, [[0, 0], [0, 1]], constant_values=-1)
        _, table = tf.while_loop(
            lambda more, table: more,
            lambda more, table: self._join(table),
            (tf.size(table) > 0, table),
            shape_invariants=(tf.TensorShape([]), tf.TensorShape([None, None])),
        )
        ids = tf.where(table < 0, table, table + NUM_SPECIAL_TOKENS)
        return tf.RaggedTensor.from_tensor(ids, padding=-1)

    def _join(self, table: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Joins the first best pair of each word; and whether there was any."""
        left, right = table[:, :-1], table[:, 1:]
        keys = tf.reshape(left * self._size + right, [-1])
        places = tf.searchsorted(self._keys, keys)
        places = tf.minimum(places, len(self._keys) - 1)
        known = (tf.gather(self._keys, places) == keys) & tf.reshape(right >= 0, [-1])
        none = tf.constant(len(self._joined), tf.int64)
        ranks = tf.where(known, tf.gather(self._ranks, places), none)
        ranks = tf.reshape(ranks, tf.shape(left))
        best = tf.argmin(ranks, axis=1)[:, None]  # The first of equal ones.
        rank = tf.gather(ranks, best, axis=1, batch_dims=1)
        joined = tf.gather(self._joined, tf.minimum(rank, none - 1))
        column = tf.range(tf.shape(table, tf.int64)[1])[None]
        behind = tf.pad(right, [[0, 0], [0, 1]], constant_values=-1)
        changed = tf.where(column < best, table, behind)
        changed = tf.where(column == best, joined, changed)
        return tf.reduce_any(rank < none), tf.where(rank < none, changed, table)
