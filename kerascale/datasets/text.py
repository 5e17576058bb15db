"""Text to token ids: done once in the data, and put in front of the model to serve."""

import collections
import re
import string

import keras
import numpy as np
import tensorflow as tf

# Ids 0 and 1 of Keras' TextVectorization: padding, and unknown tokens.
NUM_SPECIAL_TOKENS = 2

_PUNCTUATION = re.compile(f"[{re.escape(string.punctuation)}]")


def word_vectorizer(
    texts: np.ndarray, *, vocabulary_size: int, max_length: int
) -> keras.layers.TextVectorization:
    """Lower-case words without punctuation, the most frequent ones of `texts`.

    Args:
        texts: Object array of `str`: the training examples only.
        vocabulary_size: Largest number of ids, padding and unknown included.
        max_length: Words beyond it are cut off.

    Returns:
        A layer from strings (batch,) to int64 ids (batch, longest in the batch).
    """
    counts: collections.Counter[str] = collections.Counter()
    for text in texts:
        counts.update(_PUNCTUATION.sub("", text.lower()).split())
    return keras.layers.TextVectorization(
        standardize="lower_and_strip_punctuation",
        split="whitespace",
        output_sequence_length=max_length,
        vocabulary=_most_frequent(counts, vocabulary_size - NUM_SPECIAL_TOKENS),
        name="words",
    )


def character_vectorizer(text: str) -> keras.layers.TextVectorization:
    """Every character that occurs in `text`, as one id each.

    Returns:
        A layer from strings (batch,) to int64 ids (batch, longest in the batch).
    """
    counts = collections.Counter(text)
    return keras.layers.TextVectorization(
        standardize=None,
        split="character",
        vocabulary=_most_frequent(counts, len(counts)),
        name="characters",
    )


def _most_frequent(counts: collections.Counter[str], limit: int) -> list[str]:
    # Ties are broken by the token, so that the vocabulary is the same everywhere.
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return [token for token, _ in ranked[:limit]]


def encode(vectorizer: keras.layers.Layer, texts: np.ndarray) -> np.ndarray:
    """Token ids of texts, padded with 0 to the longest.

    Args:
        vectorizer: From `word_vectorizer` or `character_vectorizer`.
        texts: Object array of `str`, shape (examples,).

    Returns:
        int32 of shape (examples, longest).
    """
    with tf.device("CPU"):
        ids = vectorizer(tf.constant(texts.astype(object)))
    return np.asarray(ids, dtype=np.int32)


def describe(vectorizer: keras.layers.TextVectorization) -> int:
    """The number of ids: the vocabulary with padding and unknown."""
    return vectorizer.vocabulary_size()
