"""A teacher's answers for each token of a text."""

from collections.abc import Callable, Iterator

import numpy as np
import tensorflow as tf

from kerascale.datasets.gathers import Windows

# Tokens that the teacher is asked about at once.
_TOKENS_AT_ONCE = 16_384


def num_rows(windows: Windows) -> int:
    """Tokens of the text that have an answer: all but the last."""
    first, behind = windows.part
    return behind - first - 1


def ask(
    teacher: Callable[[tf.Tensor], tf.Tensor], windows: Windows
) -> Iterator[np.ndarray]:
    """Answers for all tokens of a text, in their order.

    Windows of training move, and what a token has before it in them differs from epoch
    to epoch. Here each is answered for once, with at least half a window before it,
    wherever it stands in the windows of an epoch.

    Args:
        teacher: Takes ids of shape (batch, length), returns logarithms of
            probabilities of shape (batch, length, classes).
        windows: Of the training text.

    Yields:
        Of shape (n, classes).
    """
    first, behind = windows.part
    count = num_rows(windows)
    length = min(windows.length, count)
    answer = tf.function(teacher, autograph=False, reduce_retracing=True)
    starts = [*range(0, count - length, max(1, length // 2)), count - length]
    at_once = max(1, _TOKENS_AT_ONCE // length)
    # The same memory, which may be a file's.
    tokens = np.from_dlpack(windows.tokens)[first:behind]
    answered = 0
    for i in range(0, len(starts), at_once):
        some = starts[i : i + at_once]
        ids = np.stack([tokens[start : start + length] for start in some])
        ids = ids.astype(np.int32)
        for start, found in zip(some, answer(ids).numpy(), strict=True):
            yield found[answered - start :]
            answered = start + length
