"""Text to token ids: done once in the data, and put in front of the model to serve."""

import collections
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import keras
import numpy as np
import tensorflow as tf

from kerascale.datasets import byte_pairs, characters
from kerascale.datasets.byte_pair_layer import BytePairEncoding
from kerascale.datasets.characters import NUM_SPECIAL_TOKENS
from kerascale.errors import RefusedError
from kerascale.runtime.console import counted

Token = TypeVar("Token", str, bytes)

# Texts that are in TensorFlow's memory at once.
_BATCH = 1024
# RE2: white space of all scripts, with tabs, line ends and other control characters.
_SPACE = r"[\p{Z}\p{Cc}]+"
# ASCII punctuation, with symbols such as $ and ^; and what else Unicode calls so.
_PUNCTUATION = r"[[:punct:]\p{P}]"
# Capitals that tf.strings.lower treats otherwise in a Turkish or Lithuanian locale.
# A server's locale is not the one of the training.
_LOCALE_DEPENDENT = ("\u0130", "\u00cc", "\u00cd", "\u0128", "\u012e")


@keras.saving.register_keras_serializable(package="kerascale")
def standardize_words(texts: tf.Tensor) -> tf.Tensor:
    """Lower-cases texts, strips punctuation and makes all white space a blank.

    Apostrophes and hyphens go without a gap, as any punctuation: "Don't" becomes
    "dont". Emoji, and symbols outside ASCII such as the euro sign, stay.

    Args:
        texts: Strings in UTF-8.

    Returns:
        Strings of the same shape, the same in each locale.
    """
    texts = tf.strings.regex_replace(texts, _SPACE, " ")
    # Before lower-casing, where a Greek sigma depends on what stands behind it.
    texts = tf.strings.regex_replace(texts, _PUNCTUATION, "")
    texts = tf.strings.lower(texts)  # ASCII: an I is an i in each locale.
    for capital in _LOCALE_DEPENDENT:
        texts = tf.strings.regex_replace(texts, capital, capital.lower())
    return tf.strings.lower(texts, encoding="utf-8")


@keras.saving.register_keras_serializable(package="kerascale")
def standardize_characters(texts: tf.Tensor) -> tf.Tensor:
    """Replaces NUL, which Keras cannot keep in a vocabulary, by U+FFFD."""
    return tf.strings.regex_replace(texts, r"\x00", "\ufffd")


def word_vectorizer(
    texts: np.ndarray, *, vocabulary_size: int, max_length: int
) -> keras.layers.TextVectorization:
    """Lower-case words without punctuation, the most frequent ones of `texts`.

    Args:
        texts: Object array of `str`: the training examples only.
        vocabulary_size: Largest number of ids, padding and unknown included.
        max_length: Words beyond it are cut off.

    Returns:
        A layer from strings (batch,) to int64 ids (batch, max_length).

    Raises:
        RefusedError: If `vocabulary_size` has no room for a word, or no text has one.
    """
    return word_vectorizer_of(
        [texts], vocabulary_size=vocabulary_size, max_length=max_length
    )


def word_vectorizer_of(
    parts: Iterable[np.ndarray], *, vocabulary_size: int, max_length: int
) -> keras.layers.TextVectorization:
    """The same of texts that come in parts."""
    if vocabulary_size <= NUM_SPECIAL_TOKENS:
        raise RefusedError(
            f"vocabulary_size: expected at least {NUM_SPECIAL_TOKENS + 1}: padding, "
            f"unknown words, and one word. Received: {vocabulary_size}. Raise it."
        )
    counts: collections.Counter[bytes] = collections.Counter()
    num_texts, first = 0, ""
    for texts in parts:
        if len(texts) and not num_texts:
            first = f", such as {str(texts[0])[:40]!r}"
        num_texts += len(texts)
        for batch in _batches(texts):
            with tf.device("CPU"):
                words = tf.strings.split(standardize_words(batch))
            counts.update(words.flat_values.numpy().tolist())
    if not counts:
        raise RefusedError(
            "dataset: expected words in the training texts. Received: "
            f"{counted(num_texts, 'text')} of nothing but punctuation and white space"
            f"{first}. Take other data."
        )
    words = [
        word.decode()
        for word in _most_frequent(counts, vocabulary_size - NUM_SPECIAL_TOKENS)
    ]
    return words_as(words, max_length=max_length)


def words_as(
    vocabulary: Sequence[str], *, max_length: int
) -> keras.layers.TextVectorization:
    """The layer from strings to the ids of these words, in their order."""
    return keras.layers.TextVectorization(
        standardize=standardize_words,
        split="whitespace",
        output_sequence_length=max_length,
        vocabulary=list(vocabulary),
        name="words",
    )


def character_vectorizer(text: str) -> keras.layers.TextVectorization:
    """Every character that occurs in `text`, as one id each.

    A character is a Unicode code point, as in `str`. NUL counts as U+FFFD.

    Returns:
        A layer from strings (batch,) to int64 ids (batch, longest in the batch).

    Raises:
        RefusedError: If `text` is empty.
    """
    if not text:
        raise RefusedError(
            "dataset: expected characters in the training text. Received: an empty "
            "text. Take other data."
        )
    return characters_as(characters.vocabulary_of(characters.counts_of(text)))


def characters_as(vocabulary: Sequence[str]) -> keras.layers.TextVectorization:
    """The layer from strings to the ids of these characters, in their order."""
    return keras.layers.TextVectorization(
        standardize=standardize_characters,
        split="character",
        vocabulary=list(vocabulary),
        name="characters",
    )


def corpus_vectorizer(
    text: str, *, tokenizer: str = "characters", vocabulary_size: int = 4096
) -> keras.layers.Layer:
    """The layer from strings to ids of a language model.

    Args:
        text: What is trained on.
        tokenizer: `characters`: see `character_vectorizer`. `bpe`: byte pairs.
        vocabulary_size: Largest number of ids of byte pairs.

    Raises:
        RefusedError: If `text` is empty, the library for byte pairs is missing, or
            `vocabulary_size` has no room for one.
    """
    if tokenizer == "characters":
        return character_vectorizer(text)
    pieces = byte_pairs.sample([text], len(text))
    return vectorizer_as(byte_pairs.learned(pieces, len(text), vocabulary_size))


def vectorizer_as(vocabulary: Any) -> keras.layers.Layer:
    """The layer from strings to the ids of a packed text; see `Facts.vocabulary`."""
    if isinstance(vocabulary, Mapping):
        return BytePairEncoding(vocabulary["bpe"])
    return characters_as(vocabulary)


def tokens_of(vectorizer: keras.layers.Layer, text: str) -> np.ndarray:
    """Token ids of one text of any length, int32 of shape (tokens,).

    Args:
        vectorizer: From `corpus_vectorizer`, or such a one that was saved.
        text: The text.
    """
    if isinstance(vectorizer, BytePairEncoding):
        ids: Any = byte_pairs.BytePairs(vectorizer.tokenizer)
    else:
        vocabulary = vectorizer.get_vocabulary()[NUM_SPECIAL_TOKENS:]
        ids = characters.CharacterIds(vocabulary)
    return ids.of(text).astype(np.int32)


def shown_tokens(vectorizer: keras.layers.Layer) -> list[str]:
    """The tokens by id, as a person reads them; U+FFFD for half a character."""
    tokens = vectorizer.get_vocabulary()
    if isinstance(vectorizer, BytePairEncoding):
        pairs = byte_pairs.BytePairs(vectorizer.tokenizer)
        first = NUM_SPECIAL_TOKENS
        tokens[first:] = [pairs.decode([i]) for i in range(first, len(tokens))]
    return tokens


def joined(vectorizer: keras.layers.Layer, ids: Sequence[int], separator: str) -> str:
    """The text of some ids, without padding.

    Args:
        vectorizer: That made them.
        ids: Token ids.
        separator: Between two tokens, unless these are byte pairs.
    """
    if isinstance(vectorizer, BytePairEncoding):
        return byte_pairs.BytePairs(vectorizer.tokenizer).decode(ids)
    vocabulary = vectorizer.get_vocabulary()
    # Id 0 is padding. The unknown word is one that no vocabulary has.
    return separator.join(vocabulary[i] if i > 1 else "\ufffd" for i in ids if i)


def _most_frequent(counts: collections.Counter[Token], limit: int) -> list[Token]:
    # Ties are broken by the token, so that the vocabulary is the same everywhere.
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return [token for token, _ in ranked[:limit]]


def encode(vectorizer: keras.layers.Layer, texts: np.ndarray) -> np.ndarray:
    """Token ids of texts, padded with 0 to the longest.

    Args:
        vectorizer: From `word_vectorizer` or `character_vectorizer`.
        texts: Array of `str`, shape (examples,).

    Returns:
        int32 of shape (examples, longest). There is at least one column of words,
        also if no text has any.
    """
    encoded = [np.zeros((0, 0), np.int32)]
    for batch in _batches(texts):
        with tf.device("CPU"):
            ids = np.asarray(vectorizer(batch))
        used = np.flatnonzero(ids.any(axis=0))
        # No wider than the layer's answer, which has no column for no characters.
        width = min(ids.shape[1], used[-1] + 1 if used.size else 1)
        encoded.append(ids[:, :width].astype(np.int32))
    padded = np.zeros((len(texts), max(ids.shape[1] for ids in encoded)), np.int32)
    start = 0
    for ids in encoded:
        padded[start : start + len(ids), : ids.shape[1]] = ids
        start += len(ids)
    return padded


def _batches(texts: np.ndarray) -> Iterator[tf.Tensor]:
    for start in range(0, len(texts), _BATCH):
        batch = texts[start : start + _BATCH].astype(object)
        with tf.device("CPU"):
            strings = tf.constant(batch, tf.string)
        yield strings
