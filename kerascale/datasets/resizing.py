"""Images in memory, resized in parts."""

import numpy as np
import tensorflow as tf

from kerascale.datasets import memory


def resized(images: np.ndarray, size: int) -> np.ndarray:
    """Images of a height and width of `size` pixels; the same ones if they have it.

    Args:
        images: uint8 or float32 of shape (examples, height, width, channels).
        size: Height and width in pixels.

    Returns:
        Of the same dtype, of shape (examples, size, size, channels).
    """
    if images.shape[1:3] == (size, size):
        return images
    result = np.empty((len(images), size, size, images.shape[3]), images.dtype)
    for part in memory.parts(images):
        # As `resized_batch`, whose every step would be a tensor of its own in memory.
        values = tf.image.resize(images[part], (size, size), antialias=True).numpy()
        if images.dtype == np.uint8:
            values = np.clip(np.rint(values), 0, 255)
        result[part] = values
    return result


def resized_batch(images: tf.Tensor | np.ndarray, size: int) -> tf.Tensor:
    """The same of a few images, at once. Each is resized by itself.

    Args:
        images: As in `resized`.
        size: As in `resized`.
    """
    dtype = tf.as_dtype(images.dtype)
    values = tf.image.resize(images, (size, size), antialias=True)
    if dtype == tf.uint8:
        values = tf.clip_by_value(tf.round(values), 0, 255)
    return tf.cast(values, dtype)
