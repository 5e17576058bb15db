"""Random windows of images, resized to one size: "random resized crop".

As torchvision's `RandomResizedCrop` and the Inception papers have it: a window of a
random share of the area, of a random ratio of its sides, at a random place. Ten are
drawn, and the first one that fits is taken; where none does, the largest one in the
middle whose ratio is in the range.
"""

import numpy as np
import tensorflow as tf

from kerascale.datasets import stateless

RATIOS = (3 / 4, 4 / 3)
_TRIES = 10
# For each try the area and the ratio; then the place.
_DRAWS = 2 * _TRIES + 2


def draws(indices: tf.Tensor, epoch: tf.Tensor, seed: int) -> tf.Tensor:
    """What decides the window of each example.

    Args:
        indices: Places in the data set, of shape (examples,).
        epoch: int64 scalar.
        seed: An integer from 0 to 2**63 - 1.

    Returns:
        float32 of shape (examples, draws), from 0 to below 1.
    """
    stream = "augmentation/resized_crop"
    return stateless.uniform(
        indices, seed=seed, epoch=epoch, draws=_DRAWS, stream=stream
    )


def windows(draws: np.ndarray, sizes: np.ndarray, scale: float) -> np.ndarray:
    """The windows that were drawn.

    Args:
        draws: See `draws`.
        sizes: Height and width of each image; of shape (examples, 2).
        scale: The smallest share of the area.

    Returns:
        float64 of shape (examples, 4): top, left, height and width in pixels, which
        need not be whole.
    """
    drawn = draws.astype(np.float64)
    height, width = sizes.astype(np.float64)[:, :, None].transpose(1, 0, 2)
    areas = height * width * (scale + drawn[:, 0 : 2 * _TRIES : 2] * (1 - scale))
    low, high = np.log(RATIOS)
    ratios = np.exp(low + drawn[:, 1 : 2 * _TRIES : 2] * (high - low))
    heights, widths = np.sqrt(areas / ratios), np.sqrt(areas * ratios)
    fits = (heights <= height) & (widths <= width)
    first = np.argmax(fits, axis=1)
    rows = np.arange(len(drawn))
    is_there = fits[rows, first]
    height, width = height[:, 0], width[:, 0]
    most = np.minimum(width, height * RATIOS[1]), np.minimum(height, width / RATIOS[0])
    h = np.where(is_there, heights[rows, first], most[1])
    w = np.where(is_there, widths[rows, first], most[0])
    down, right = drawn[:, -2], drawn[:, -1]
    top = np.where(is_there, down, 0.5) * (height - h)
    left = np.where(is_there, right, 0.5) * (width - w)
    return np.stack([top, left, h, w], axis=1)


def of_images(images: tf.Tensor, draws: tf.Tensor, scale: float) -> tf.Tensor:
    """Random windows of images of one size, resized to that size.

    Args:
        images: float32 of shape (examples, height, width, channels).
        draws: See `draws`.
        scale: The smallest share of the area.

    Returns:
        float32 of the same shape: bilinear.
    """
    height, width = (tf.cast(s, tf.float64) for s in tf.unstack(tf.shape(images)[1:3]))
    drawn = tf.cast(draws, tf.float64)
    areas = height * width * (scale + drawn[:, 0 : 2 * _TRIES : 2] * (1 - scale))
    low, high = np.log(RATIOS)
    ratios = tf.exp(low + drawn[:, 1 : 2 * _TRIES : 2] * (high - low))
    heights, widths = tf.sqrt(areas / ratios), tf.sqrt(areas * ratios)
    fits = (heights <= height) & (widths <= width)
    first = tf.argmax(tf.cast(fits, tf.int32), axis=1)
    is_there = tf.reduce_any(fits, axis=1)
    h = tf.gather(heights, first, batch_dims=1)
    w = tf.gather(widths, first, batch_dims=1)
    h = tf.where(is_there, h, tf.minimum(height, width / RATIOS[0]))
    w = tf.where(is_there, w, tf.minimum(width, height * RATIOS[1]))
    half = tf.constant(0.5, tf.float64)
    top = tf.where(is_there, drawn[:, -2], half) * (height - h)
    left = tf.where(is_there, drawn[:, -1], half) * (width - w)
    # Corners of the window as `CropAndResize` has them: centres of pixels.
    down, right = tf.maximum(height - 1, 1), tf.maximum(width - 1, 1)
    boxes = [top / down, left / right, (top + h - 1) / down, (left + w - 1) / right]
    return tf.image.crop_and_resize(
        images,
        tf.cast(tf.stack(boxes, axis=1), tf.float32),
        tf.range(tf.shape(images)[0]),
        tf.shape(images)[1:3],
    )
