"""Weights as small integers: one scale for each channel, symmetric around zero."""

import numpy as np

# Smaller tensors are biases and factors, which cost little and count much.
SMALLEST = 256


def is_worth_it(array: np.ndarray) -> bool:
    """Whether a tensor of weights is kept in fewer bits."""
    return array.dtype == np.float32 and array.ndim >= 2 and array.size >= SMALLEST


def to_int8(array: np.ndarray, axis: int) -> tuple[np.ndarray, np.ndarray]:
    """Rounds weights to int8.

    -128 is not used, so that a channel and its negative round alike.

    Args:
        array: float32 weights.
        axis: The channels' axis; each has a scale of its own.

    Returns:
        int8 of the same shape, and float32 scales of shape (channels,): the weights
        are about their product.
    """
    others = tuple(i for i in range(array.ndim) if i != axis % array.ndim)
    largest = np.abs(array).max(axis=others, initial=0.0)
    scale = np.where(largest > 0, largest / 127, 1).astype(np.float32)
    shape = [1] * array.ndim
    shape[axis] = -1
    rounded = np.round(array / scale.reshape(shape))
    return np.clip(rounded, -127, 127).astype(np.int8), scale
